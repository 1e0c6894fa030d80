#include "component/broker/systemd/notify_socket.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::broker {

linux_host::Owned_fd notify_socket()
{
	std::string_view const path = getenv("NOTIFY_SOCKET") ? getenv("NOTIFY_SOCKET") : "";
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	if (path.empty() || path.size() >= sizeof(to.sun_path)) return {};
	memcpy(to.sun_path, path.data(), path.size());
	if (path.front() == '@') to.sun_path[0] = 0;
	linux_host::Owned_fd made{socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	socklen_t const size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
	if (connect(made.value(), reinterpret_cast<sockaddr *>(&to), size) != 0) made.reset();
	return made;
}

} // namespace bulkhead::broker
