#pragma once

// `bulkhead vchan listen`, `connect` and `cat`: a channel to standard input and output, or to those
// of a command.

#include "tool/vchan/channel.h"
#include "tool/vchan/narrator.h"

#include <string>
#include <vector>

namespace bulkhead::tool {

struct Relay_options
{
	Channel_options channel{};
	std::vector<std::string> command{}; // empty: standard input and output
	Narrator::Form form = Narrator::Form::TROUBLE_ONLY;
	bool keep = false; // one client after another
	bool hex = false; // a dump: of what comes if only that is read, else both ways beside the data
	bool receive_only = false; // `cat`
};

/* Returns the exit code. */
int relay(Relay_options const &);

} // namespace bulkhead::tool
