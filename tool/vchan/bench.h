#pragma once

// `bulkhead vchan bench`: what a channel costs on this machine, beside what Linux has instead,
// measured in the same run. The other side is a process of its own.

#include "tool/vchan/channel.h"

namespace bulkhead::tool {

struct Bench_options
{
	Channel_options channel{}; // transport, sizes and spin only
	Cpus cpus{-1, -1};
	double seconds = 0.3; // for each measurement
	bool json = false;
};

/* Returns the exit code. */
int bench(Bench_options const &);

} // namespace bulkhead::tool
