#pragma once

// The log of a domain: lines on standard error, which the broker reads, or nobody does while it is
// away. A line that doesn't fit is lost, rather than that this component waits.

#include "base/log.h"

#include <cstdint>

namespace bulkhead::component {

class Stderr_log final : public Log_sink
{
private:
	uint64_t _lost = 0; // lines since the last that fitted

public:
	/* Standard error isn't waited for from now on. */
	void never_block();

	void log(Level level, std::string_view message) override;
};

} // namespace bulkhead::component
