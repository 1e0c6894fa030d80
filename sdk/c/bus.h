#pragma once

// What is behind the handles of the C interface.

#include "sdk/c/tpm_bus.h"
#include "sdk/host_tpm/host_bus.h"

struct Bulkhead_tpm_bus
{
	bulkhead::sdk::Host_bus bus{};
	int error = 0; // negative errno
	uint64_t timeout_us = 0; // when the time-out is over
};

namespace bulkhead::sdk {

/* A message for a C program; cut if it is too long. */
void say(Bulkhead_message *to, std::string_view text);

/* Notes an error of the bus. */
template <typename E>
void note(Bulkhead_tpm_bus &bus, E error)
{
	bus.error = -errno_of(outer_error(error));
}

} // namespace bulkhead::sdk
