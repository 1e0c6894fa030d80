#pragma once

// The parts of call_bench; each prints its figures.

#include "sdk/libvchan/bench/measure.h"

namespace bulkhead::bench {

/* `where`: a directory that isn't there yet. */
struct Setting
{
	std::string where;
	std::string cpus; // in words
	Options options;
};

/* Calls by programs that are started for each, against posix_spawn. */
void spawned_calls(Setting const &);

/* Calls by the library. */
void library_calls(Setting const &);

/* Long streams, against pipes and sockets. */
void call_streams(Setting const &);

} // namespace bulkhead::bench
