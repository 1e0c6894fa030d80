#pragma once

// libfuse3's low-level interface, in the version that this front end is written for.

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
