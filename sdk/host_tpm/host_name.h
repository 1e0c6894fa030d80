#pragma once

// How a TPM of this host is called where a text must say it: on a command line, in a TCTI's
// configuration, in a C program.
//
//	spidev:/dev/spidev0.1
//	spidev:/dev/spidev0.1,clock_hz=10000000
//	sim:/run/swtpm/data,control=/run/swtpm/control,wait_states=2

#include "base/attempt.h"

#include <cstdint>
#include <string_view>

namespace bulkhead::sdk {

struct Host_name
{
	enum class Kind : uint8_t {
		SPIDEV, // a chip behind /dev/spidevB.C
		SIM, // a simulated wire, with the swtpm that listens at this socket (path or host:port)
	};

	Kind kind;
	std::string_view path;
	uint32_t clock_hz = 10'000'000; // every TPM follows 10 MHz or more (PTP 7.4.1)
	uint8_t locality = 0; // 0-4

	// SIM only.
	std::string_view control = {}; // swtpm's control socket: localities and cancelling need it
	uint8_t select = 0; // the chip select that is used, 0-7; the TPM is at 0
	uint32_t wait_states = 0; // that the chip inserts in each frame, at most 100000
	uint16_t burst_count = 64; // 1-4096
	bool conditional = true; // the bus's controller runs conditional segments itself
	bool keeps_selected = true; // and can keep the chip selected after a transfer
};

/* What is wrong with a name. */
enum class Name_error : uint8_t {
	NO_KIND = 1, // neither `spidev:` nor `sim:`
	NO_PATH,
	UNKNOWN_OPTION,
	BAD_NUMBER, // not a number, or out of its range
	NO_CONTROL, // a locality other than 0 without the control socket that swtpm learns it through
};

constexpr std::string_view name_of(Name_error error)
{
	switch (error) {
	case Name_error::NO_KIND: return "it begins with neither 'spidev:' nor 'sim:'";
	case Name_error::NO_PATH: return "the path of a device or socket is missing";
	case Name_error::UNKNOWN_OPTION:
		return "an option is none of clock_hz, locality and, for sim, control, select, "
			   "wait_states, burst_count, conditional, keeps_selected";
	case Name_error::BAD_NUMBER: return "an option's number is not one, or out of range";
	case Name_error::NO_CONTROL: return "a locality other than 0 needs the option control";
	}
	return "unknown error";
}

/* The name taken apart; views point into it. Errors: all of `Name_error`. */
Attempt<Host_name, Name_error> parse_host_name(std::string_view name);

} // namespace bulkhead::sdk
