#include "platform/linux/gate.h"

#include "platform/linux/errno.h"
#include "platform/linux/vchan/take_no_descriptors.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace bulkhead::linux_host {
namespace {

constexpr size_t PARTS_MAX = 8; // of a message

constexpr size_t CONTROL_BYTES = CMSG_SPACE(Gate::DESCRIPTORS_MAX * sizeof(int));

/* Takes the descriptors that came; false if there were more than fit. */
bool take(msghdr const &header, std::span<Owned_fd> to, size_t &count)
{
	bool fits = true;
	for (cmsghdr const *m = CMSG_FIRSTHDR(&header); m;
		m = CMSG_NXTHDR(const_cast<msghdr *>(&header), const_cast<cmsghdr *>(m))) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS) continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= m->cmsg_len; at += sizeof(int)) {
			int fd = -1;
			memcpy(&fd, reinterpret_cast<char const *>(m) + at, sizeof(fd));
			Owned_fd taken{fd};
			if (count < to.size())
				to[count++] = std::move(taken);
			else
				fits = false;
		}
	}
	return fits;
}

} // namespace

Gate::Gate(Owned_fd socket, Gate_takes takes) : _socket(std::move(socket)), _takes(takes)
{
	if (_takes == Gate_takes::NOTHING) take_no_descriptors(_socket.value());
}

Attempt<Gate::Pair> Gate::make_pair()
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return error_of_errno(errno);
	return Pair{Owned_fd(ends[0]), Owned_fd(ends[1])};
}

Attempt<void> send_with_descriptors(
	int socket, std::span<Bytes const> message, std::span<int const> descriptors)
{
	if (message.size() > PARTS_MAX || descriptors.size() > Gate::DESCRIPTORS_MAX)
		return Error::TOO_LONG;
	iovec parts[PARTS_MAX];
	for (size_t i = 0; i < message.size(); ++i)
		parts[i] = {const_cast<uint8_t *>(message[i].data()), message[i].size()};
	alignas(cmsghdr) char control[CONTROL_BYTES];
	msghdr header{};
	header.msg_iov = parts;
	header.msg_iovlen = message.size();
	if (!descriptors.empty()) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
		cmsghdr *const rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
		memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
	}
	if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return error_of_errno(errno);
	return Ok{};
}

Attempt<Gate::Received> receive_with_descriptors(
	int socket, Mutable_bytes to, std::span<Owned_fd> descriptors, Gate_takes takes)
{
	alignas(cmsghdr) char control[CONTROL_BYTES];
	iovec part{to.data(), to.size()};
	msghdr header{};
	header.msg_iov = &part;
	header.msg_iovlen = 1;
	if (takes == Gate_takes::DESCRIPTORS) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
	}
	ssize_t bytes = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	// Said once, before what the other side sent, if it has closed and left messages unread.
	if (bytes < 0 && errno == ECONNRESET)
		bytes = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (bytes < 0) return error_of_errno(errno);
	Gate::Received received{.bytes = static_cast<size_t>(bytes)};
	bool fit = take(header, descriptors, received.descriptors);
	bool const lost = (header.msg_flags & MSG_CTRUNC) != 0;
	bool const cut = (header.msg_flags & MSG_TRUNC) != 0;
	if (lost && takes == Gate_takes::NOTHING) fit = false;
	if (fit && !lost && !cut) return received;
	for (Owned_fd &descriptor : descriptors) descriptor.reset();
	received.descriptors = 0;
	if (cut) return Error::TOO_LONG;
	if (!fit) return Error::INVALID;
	return received;
}

Attempt<void> Gate::send(std::span<Bytes const> message, std::span<int const> descriptors)
{
	return send_with_descriptors(fd(), message, descriptors);
}

Attempt<Gate::Received> Gate::receive(Mutable_bytes to, std::span<Owned_fd> descriptors)
{
	return receive_with_descriptors(fd(), to, descriptors, _takes);
}

} // namespace bulkhead::linux_host
