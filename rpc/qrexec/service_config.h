#pragma once

// Settings of a service: a file of rpc-config, in a subset of TOML (facts of upstream's parser):
// `key = value` per line, values are true, false, 0, 1, or a 'string'; `#` begins a comment.

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

	static constexpr size_t FILE_MAX_BYTES = 4096;
};

struct Config_fault
{
	enum class Kind : uint8_t {
		TOO_LONG, // the file
		NO_KEY,
		UNKNOWN_KEY,
		REPEATED_KEY,
		NO_EQUALS,
		NO_VALUE,
		BAD_BOOLEAN,
		BAD_STRING, // only 'single quotes', without control characters
		TRAILING, // something behind the value
		BAD_BYTE, // NUL or a control character
		CONFLICT, // force-user with a setting that only sockets have
	};

	Kind kind;
	unsigned line; // from 1
};

/* What is wrong and what would be right, in words. */
std::string_view text_of(Config_fault::Kind kind);

Attempt<Service_config, Config_fault> parse_service_config(std::string_view text);

/* Sockets ignore nothing; an executable ignores the last three settings (facts, section 5). */

} // namespace bulkhead::qrexec
