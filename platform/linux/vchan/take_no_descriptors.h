#pragma once

// Keeps a peer from having us close what it likes. A descriptor that comes with a message is closed
// by whoever discards the message or closes the socket, and that may take as long as its sender
// has chosen: a TCP socket with SO_LINGER and a peer that doesn't read waits for hours.

#include <sys/socket.h>

namespace bulkhead::linux_host {

/*
 * Has the kernel refuse (EPERM) to send descriptors to a unix socket, or to those that a listening
 * one will accept. Before anybody may send there. Without effect before Linux 6.16.
 */
inline void take_no_descriptors(int socket)
{
	constexpr int PASS_RIGHTS = 83; // SO_PASSRIGHTS, which older headers lack
	int const no = 0;
	(void)setsockopt(socket, SOL_SOCKET, PASS_RIGHTS, &no, sizeof(no));
}

} // namespace bulkhead::linux_host
