#pragma once

// Processes of a daemon that run code of its own: a service of the host, the start of a domain.
// They go on when the daemon ends.

#include "component/qrexec/daemon/settings.h"

#include <sys/types.h>

namespace bulkhead::qrexec {

/*
 * Forks. In the child: signals and the limit of descriptors as a program expects them, and no
 * descriptor but standard input, output, error and `keep` (-1: none), which has the same number.
 * Returns as fork does.
 */
pid_t fork_child(Settings const &settings, int keep = -1);

} // namespace bulkhead::qrexec
