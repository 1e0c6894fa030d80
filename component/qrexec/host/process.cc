#include "component/qrexec/host/process.h"

#include "platform/linux/descriptor.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::qrexec {

void prepare_process()
{
	int fd = 0;
	while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR);
	if (fd > STDERR_FILENO) ::close(fd);
	(void)::signal(SIGPIPE, SIG_IGN);
}

size_t raise_descriptor_limit(size_t wanted)
{
	rlimit limit{};
	if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
	rlim_t const possible = std::min<rlim_t>(wanted, limit.rlim_max);
	if (limit.rlim_cur < possible) {
		rlimit const raised{.rlim_cur = possible, .rlim_max = limit.rlim_max};
		if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return possible;
	}
	return limit.rlim_cur;
}

bool notify_ready()
{
	char const *const name = ::getenv("NOTIFY_SOCKET");
	if (!name || !*name) return true;
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	std::string_view const path = name;
	bool const fits = path.size() < sizeof(address.sun_path);
	if (fits) std::memcpy(address.sun_path, path.data(), path.size());
	// An abstract name.
	if (address.sun_path[0] == '@') address.sun_path[0] = 0;
	::unsetenv("NOTIFY_SOCKET");
	if (!fits) {
		errno = ENAMETOOLONG;
		return false;
	}
	linux_host::Owned_fd const fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	if (!fd) return false;
	static constexpr std::string_view READY = "READY=1";
	auto const size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
	return ::sendto(fd.value(), READY.data(), READY.size(), MSG_NOSIGNAL,
			   reinterpret_cast<sockaddr const *>(&address), size) >= 0;
}

std::string errno_text(int number)
{
	char text[128];
	return ::strerror_r(number, text, sizeof(text)); // GNU's: a text of its own, or ours
}

} // namespace bulkhead::qrexec
