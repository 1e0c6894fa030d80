#pragma once

// How one process wakes another that it doesn't trust: a connected pair of unix sockets for each
// direction, of which nobody ever reads. To ring is to shut down the sending side, again and again:
// Linux wakes whoever waits for the other socket each time. That never blocks, carries nothing that
// could fill up, and shares no state with the peer. An eventfd does: a peer that sets its counter
// to the maximum and clears O_NONBLOCK, for both, has the next one who rings wait for ever
// (doc/decisions/0007-bell.md). And a socket hangs up when the last process that held its peer has
// ended.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"
#include "vchan/endpoint.h"

#include <cstdint>

namespace bulkhead::linux_host {

class Bell final : public vchan::Doorbell
{
private:
	Owned_fd _out{};
	Owned_fd _in{};

public:
	/* What to watch `in` for, edge-triggered: every event is a ring, perhaps in vain. */
	static uint32_t events();

	/* Whether these events of `in` say that the peer has ended. */
	static bool ended(uint32_t events);

	/* What one side rings by and the other hears. False: too many open descriptors, `errno`. */
	static bool connect(Owned_fd &ringing, Owned_fd &hearing);

	/* One that nobody hears, as nobody is there yet. */
	Bell() = default;
	Bell(Owned_fd out, Owned_fd in) : _out(std::move(out)), _in(std::move(in)) {}

	/* Whether a descriptor from elsewhere is a socket as this needs it. */
	static bool suitable(int fd);

	void ring() override;

	/* The descriptor that says when the peer rings, or ends. */
	int in() const { return _in.value(); }
	/* The one that rings, for who passes a bell on. */
	int out() const { return _out.value(); }
};

} // namespace bulkhead::linux_host
