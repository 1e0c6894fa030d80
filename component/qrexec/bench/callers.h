#pragma once

// Calls by the library: many at once in one thread, or one whose stream is long.

#include "sdk/qrexec/call.h"

namespace bulkhead::bench {

/*
 * So many calls, so many of them at a time; each sends a question, ends its input, and has to get
 * the same back, and 0. With `silent` neither is anything sent nor expected. Returns seconds.
 */
double make_calls(
	qrexec::Wanted_call const &wanted, unsigned count, unsigned at_once, bool silent = false);

/* One call that sends so many bytes, or gets them: seconds until its end. */
double pour_into_call(qrexec::Wanted_call const &wanted, uint64_t bytes);
double drain_call(qrexec::Wanted_call const &wanted, uint64_t bytes);

} // namespace bulkhead::bench
