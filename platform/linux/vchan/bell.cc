#include "platform/linux/vchan/bell.h"

#include "platform/linux/vchan/take_no_descriptors.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace bulkhead::linux_host {

uint32_t Bell::events() { return EPOLLIN | EPOLLRDHUP | EPOLLET; }

bool Bell::ended(uint32_t events) { return (events & (EPOLLHUP | EPOLLERR)) != 0; }

bool Bell::suitable(int fd)
{
	int domain = 0, type = 0;
	socklen_t length = sizeof(domain);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0) return false;
	length = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0) return false;
	return domain == AF_UNIX && type == SOCK_SEQPACKET;
}

bool Bell::connect(Owned_fd &ringing, Owned_fd &hearing)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return false;
	ringing.reset(ends[0]);
	hearing.reset(ends[1]);
	take_no_descriptors(ringing.value());
	take_no_descriptors(hearing.value());
	return true;
}

void Bell::ring()
{
	if (!_out) return;
	int const kept = errno;
	// Fails if the peer has ended, which our other socket tells.
	(void)shutdown(_out.value(), SHUT_WR);
	errno = kept;
}

} // namespace bulkhead::linux_host
