#pragma once

// Makes channels between processes of this host that have not searched for each other: a broker
// hands one end to each side and keeps none.

#include "platform/linux/vchan/bell.h"
#include "platform/linux/vchan/connect_error.h"
#include "vchan/layout.h"

namespace bulkhead::linux_host {

/* One side's share of a channel, as `make_channel` or a broker makes it. */
struct Channel_end
{
	Owned_fd memory{}; // as Sealed_memory
	Bell bell{};
	vchan::Role role = vchan::Role::SERVER;
	uint32_t generation = 0;
};

struct Channel_pair
{
	Channel_end server;
	Channel_end client;
};

/*
 * The two ends of a new channel; the sizes, in bytes, are rounded up. Any generation will do, as
 * its memory is new. Errors: BAD_SIZE (or a generation above vchan::GENERATION_MAX) and those of
 * the machine (`errno`).
 */
Attempt<Channel_pair, Connect_error> make_channel(vchan::Sizes, uint32_t generation = 1);

} // namespace bulkhead::linux_host
