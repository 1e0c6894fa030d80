#pragma once

// Where a socket of this host is: a path, as the kernel wants it told.

#include <cstring>
#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::linux_host {

struct Unix_address
{
	sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
	socklen_t size = sizeof(name);

	sockaddr const *get() const { return reinterpret_cast<sockaddr const *>(&name); }
};

/* None: the path is too long. */
inline std::optional<Unix_address> unix_address(std::string_view path)
{
	Unix_address made;
	if (path.size() >= sizeof(made.name.sun_path)) return {};
	memcpy(made.name.sun_path, path.data(), path.size());
	return made;
}

} // namespace bulkhead::linux_host
