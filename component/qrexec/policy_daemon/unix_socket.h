#pragma once

// Unix stream sockets that don't block.

#include "platform/linux/descriptor.h"

#include <string>
#include <sys/types.h>

namespace bulkhead::qrexec {

/* Connected; or none, and `error` is an errno: ENAMETOOLONG, ENOENT, ECONNREFUSED, EAGAIN … */
linux_host::Owned_fd connect_unix(std::string const &path, int &error);

/* Listening in place of what was there, with that mode; or none, and `error` is an errno. */
linux_host::Owned_fd listen_unix(std::string const &path, mode_t mode, int &error);

} // namespace bulkhead::qrexec
