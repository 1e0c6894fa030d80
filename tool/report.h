#pragma once

// What the command says: troubles, faults of a manifest and log messages, on standard error; each
// line begins with the program's name.

#include "base/log.h"
#include "sdk/host_system/manifest.h"
#include "tool/outcome.h"

namespace bulkhead::tool {

/* Says what was not done and what to do about it; returns the exit code. */
int report(Trouble const &trouble);

/* Says all faults of a manifest; returns the exit code. */
int report_faults(host_system::Manifest const &manifest);

/* Standard error. */
class Stderr_sink final : public Log_sink
{
public:
	void log(Level level, std::string_view message) override;
};

} // namespace bulkhead::tool
