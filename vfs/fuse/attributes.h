#pragma once

// How nodes, errors and requests look in the kernel's terms: `struct stat`, errno, poll events,
// open flags.

#include "vfs/fuse/libfuse.h"
#include "vfs/node.h"

namespace bulkhead::fuse {

/* Devices are shown as regular files: the kernel would open a device node itself, without FUSE. */
struct stat attributes_of(vfs::Stat const &stat);

/* The type of a directory entry, as a file mode. */
uint32_t mode_of(vfs::Type type);

/* The attributes that a setattr request changes; times that are "now" are the host's. */
vfs::Changes changes_of(struct stat const &attributes, int to_set);

vfs::Access access_of(int open_flags);

/* The events of poll(2) that hold. */
unsigned events_of(Readiness readiness);

/*
 * The errno of a request, and where a call has a habit of its own. What is out of RANGE is a file's
 * size or an offset, EFBIG, but for a control.
 */
int errno_of_request(Error error); // what is TOO_LONG is a name: ENAMETOOLONG
int errno_of_control(Error error); // NOT_SUPPORTED is ENOTTY
int errno_of_transfer(Error error); // NOT_SUPPORTED is EINVAL: not a thing to read or write

} // namespace bulkhead::fuse
