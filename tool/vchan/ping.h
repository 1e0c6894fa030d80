#pragma once

// `bulkhead vchan ping`: how long bytes take to the other side and back, and who sends them back.

#include "tool/vchan/channel.h"

#include <span>

namespace bulkhead::tool {

struct Ping_options
{
	static constexpr unsigned COUNT_MAX = 1'000'000;
	static constexpr size_t BYTES_MAX = 16 << 20;

	Channel_options channel{};
	unsigned count = 10;
	size_t bytes = 64;
	double interval_s = 0.1;
	bool quiet = false; // the summary only
	bool json = false;
	bool keep = false; // `echo`: one client after another
};

/* Each returns the exit code. */

/* Sends and waits for what comes back, `count` times. `timeout_s` is for each answer, too. */
int ping(Ping_options const &);

/* Sends back what comes, until the client has ended. */
int echo(Ping_options const &);

/* Round trips, sorted. */
struct Quantiles
{
	double min = 0;
	double median = 0;
	double p99 = 0;
	double max = 0;
	double mean = 0;

	/* Of values that are sorted in place; 0 if there are none. */
	static Quantiles of(std::span<double> values);
};

} // namespace bulkhead::tool
