#pragma once

// A packet socket on which messages bring descriptors along: how a process of this host gets the
// ends of its channels from the broker (domain/gate says which messages). Nothing blocks.

#include "base/attempt.h"
#include "base/bytes.h"
#include "base/error.h"
#include "platform/linux/descriptor.h"

#include <array>
#include <span>

namespace bulkhead::linux_host {

/* Whether a socket takes descriptors that come with messages. */
enum class Gate_takes : uint8_t { NOTHING, DESCRIPTORS };

/* Owns its socket. Belongs to one thread. */
class Gate
{
public:
	static constexpr size_t DESCRIPTORS_MAX = 8; // with one message

	struct Received
	{
		size_t bytes = 0; // 0: the other side has closed
		size_t descriptors = 0; // 0, too, if this process may not have as many as were sent
	};

private:
	Owned_fd _socket{};
	Gate_takes _takes = Gate_takes::NOTHING;

public:
	Gate() = default;
	/* Takes over a socket; has the kernel refuse descriptors if it `takes` none. */
	Gate(Owned_fd socket, Gate_takes takes);

	/* Two sockets that are connected, non-blocking and closed by exec. Error: TOO_MANY_OPEN. */
	struct Pair
	{
		Owned_fd first;
		Owned_fd second;
	};
	static Attempt<Pair> make_pair();

	/* To be watched level-triggered. -1: none. */
	int fd() const { return _socket.value(); }

	/*
	 * Sends a message, whole or not at all; the descriptors stay the caller's. Errors: WOULD_BLOCK
	 * (the other side doesn't read), BROKEN_PIPE (it has closed), TOO_LONG, TOO_MANY_OPEN (too many
	 * descriptors on their way), OUT_OF_MEMORY, IO.
	 */
	Attempt<void> send(std::span<Bytes const> message, std::span<int const> descriptors = {});

	/*
	 * The next message. Errors: WOULD_BLOCK, TOO_LONG (it didn't fit; it is gone), INVALID
	 * (descriptors where none are taken, or more than fit; they are closed and the message gone),
	 * IO.
	 */
	Attempt<Received> receive(Mutable_bytes to, std::span<Owned_fd> descriptors = {});

	void close() { _socket.reset(); }
};

/* The same for any unix socket, which stays its owner's: of a stream, some bytes are received. */
Attempt<void> send_with_descriptors(
	int socket, std::span<Bytes const> message, std::span<int const> descriptors);
Attempt<Gate::Received> receive_with_descriptors(
	int socket, Mutable_bytes to, std::span<Owned_fd> descriptors, Gate_takes takes);

} // namespace bulkhead::linux_host
