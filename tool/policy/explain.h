#pragma once

// `bulkhead policy explain`: what becomes of a call, which rule decides it, and why earlier ones
// don't.

#include "tool/policy/setting.h"

namespace bulkhead::tool {

struct Explain_options
{
	Policy_options policy{};
	std::string source{};
	std::string target{};
	std::string service{}; // with "+ARGUMENT", perhaps
	std::string relay{}; // who calls for the source, a RemoteVM
};

/* Returns the exit code. */
int explain_call(Explain_options const &options);

} // namespace bulkhead::tool
