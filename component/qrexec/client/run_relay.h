#pragma once

// A relay in a loop of its own, for programs that carry one call.

#include "component/qrexec/host/relay.h"

namespace bulkhead::qrexec {

/* Carries the call to its end; blocks. */
Ending run_relay(
	std::unique_ptr<Data_channel> channel, Side side, Local_end local, Relay_options options);

} // namespace bulkhead::qrexec
