#pragma once

// Unix stream sockets of this host by their paths: those of daemons, agents and services.

#include "platform/linux/descriptor.h"

#include <string>
#include <sys/types.h>

namespace bulkhead::qrexec {

/*
 * Connects without blocking. Returns 0 or an errno: ENOENT and ECONNREFUSED (nobody listens),
 * EAGAIN (those who wait are too many: try again in a moment), ENAMETOOLONG (107 bytes are the
 * most), EACCES, EMFILE and what else system calls have.
 */
int connect_to_local(std::string const &path, linux_host::Owned_fd &socket);

/*
 * Listens, without blocking, and puts the socket in the place of one that nobody listens on. `mode`
 * says who may connect (0600, 0666). Returns 0 or an errno: EADDRINUSE (somebody listens there, or
 * it is no socket), ENOENT (no such directory), ENAMETOOLONG, EACCES and what else system calls
 * have. The path is the caller's to remove.
 */
int listen_locally(std::string const &path, mode_t mode, linux_host::Owned_fd &socket);

} // namespace bulkhead::qrexec
