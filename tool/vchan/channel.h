#pragma once

// A channel as the command's user asks for it: opening it, waiting for the other side, and what to
// say when that fails.

#include "sdk/libvchan/vchan.h"
#include "tool/outcome.h"
#include "tool/vchan/interrupt.h"
#include "tool/vchan/parse.h"

#include <memory>
#include <optional>
#include <string>

namespace bulkhead::tool {

/* What is the same for all subcommands of `bulkhead vchan`. */
struct Channel_options
{
	bool server = false;
	Address peer{};
	Ring_sizes sizes{}; // of a server
	std::string transport{}; // empty: as the environment says
	std::string directory{}; // empty: the transport's own
	int own_domain = -1; // -1: as the environment says
	int spin = -1; // -1: as it suits the transport
	double timeout_s = -1; // until the other side has come; below 0: without limit
};

struct Close_channel
{
	void operator()(Bulkhead_vchan *channel) const { bulkhead_vchan_close(channel); }
};

using Channel = std::unique_ptr<Bulkhead_vchan, Close_channel>;

/* The transport by its name. */
std::string transport_of(Channel_options const &);

/* Begins to listen or to search. */
std::optional<Trouble> open_channel(Channel_options const &, Channel &);

/* Until the other side is there. An interruption is a trouble without a text. */
std::optional<Trouble> await_peer(Channel_options const &, Bulkhead_vchan *, Interrupt const &);

/* What a negative result of a call with this channel means. */
Trouble trouble_of(Bulkhead_vchan const *, int error);

} // namespace bulkhead::tool
