#pragma once

// What an EXEC_CMDLINE asks for: "user:[nogui:]QUBESRPC service+argument source [name|keyword
// target]", or "user:[nogui:]" and a command for the user's shell.

#include "base/attempt.h"
#include "base/fixed_string.h"

#include <optional>
#include <string_view>

namespace bulkhead::qrexec {

/* What a call was for, as its caller wrote it: a name, or a keyword without its "@". */
enum class Target_kind : uint8_t { NONE, NAME, KEYWORD };

/* Views of the line. */
struct Command_line
{
	std::string_view user{}; // empty where lines have none (fork server, host)
	bool nogui = false;
	std::string_view command{}; // all behind user and nogui

	// Of a service call; the rest is empty otherwise.
	bool service_call = false;
	std::string_view descriptor{}; // "service+argument source …": what a socket service gets
	std::string_view full_name{}; // service+argument
	std::string_view service{};
	std::optional<std::string_view> argument{}; // none if there was no "+"
	std::string_view source{};
	Target_kind target_kind = Target_kind::NONE;
	std::string_view target{};
};

enum class Command_fault : uint8_t {
	NO_USER = 1, // no ":"
	EMPTY,
	NO_SERVICE,
	NO_SOURCE,
	BAD_NAME, // service or argument with "/", or a service that begins with "."
	TOO_LONG,
	BAD_TARGET, // neither "name X" nor "keyword X"
	HAS_NUL,
};

std::string_view name_of(Command_fault fault);

/* The user that stands for the domain's default user. */
inline constexpr std::string_view DEFAULT_USER = "DEFAULT";

/* Without the NUL at its end. `with_user`: whether the line begins with one. */
Attempt<Command_line, Command_fault> parse_command_line(std::string_view line, bool with_user);

} // namespace bulkhead::qrexec
