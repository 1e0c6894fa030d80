#pragma once

// Settings of a service: a file of rpc-config, in a subset of TOML (facts of upstream's parser):
// `key = value` per line, values are true, false, 0, 1, or a 'string'; `#` begins a comment. What
// upstream refuses is refused here, too: whoever checks a file by one checks it for the other.

#include "base/attempt.h"
#include "base/fixed_string.h"

#include <optional>
#include <string_view>

namespace bulkhead::qrexec {

struct Service_config
{
	bool wait_for_session = false;
	bool skip_service_descriptor = false;
	bool exit_on_client_eof = false;
	bool exit_on_service_eof = false;
	std::optional<Fixed_string<255>> force_user{};
	unsigned ignored_line = 0; // the first with a setting that isn't known; 0: there is none

	static constexpr size_t FILE_MAX_BYTES = 4096;
};

struct Config_fault
{
	enum class Kind : uint8_t {
		TOO_LONG, // the file
		NO_KEY,
		REPEATED_KEY,
		NO_EQUALS,
		NO_VALUE,
		BAD_VALUE, // none of the kinds that there are, or a number with something behind it
		BAD_BOOLEAN,
		BAD_STRING, // only 'single quotes', 1 to 255 bytes without control characters
		TRAILING, // something behind the value
		BAD_BYTE, // NUL
		CONFLICT, // force-user with a setting that only sockets have
	};

	Kind kind;
	unsigned line; // from 1; 0: the file as a whole
};

/* What is wrong and what would be right, in words. */
std::string_view text_of(Config_fault::Kind kind);

/*
 * Of a whole file. Sockets ignore nothing; an executable ignores skip-service-descriptor and the
 * two exit-on-… settings.
 */
Attempt<Service_config, Config_fault> parse_service_config(std::string_view text);

} // namespace bulkhead::qrexec
