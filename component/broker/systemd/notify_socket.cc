#include "component/broker/systemd/notify_socket.h"

#include "platform/linux/unix_address.h"

#include <cstddef>
#include <cstdlib>
#include <string_view>

namespace bulkhead::broker {

linux_host::Owned_fd notify_socket()
{
	std::string_view const path = getenv("NOTIFY_SOCKET") ? getenv("NOTIFY_SOCKET") : "";
	auto to = linux_host::unix_address(path);
	if (path.empty() || !to) return {};
	if (path.front() == '@') to->name.sun_path[0] = 0;
	linux_host::Owned_fd made{socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	socklen_t const size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
	if (connect(made.value(), to->get(), size) != 0) made.reset();
	return made;
}

} // namespace bulkhead::broker
