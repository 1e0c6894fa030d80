#pragma once

// What the component "program" has to know of its domain, as lines of text: written by the
// manifest's reader into Domain_plan::config, read by the component in the domain. A line is a
// word, a blank and a value, in which "\n" and "\\" stand for a line feed and a backslash:
//
//	bulkhead-program 1
//	environment NAME=value
//	program                   what runs besides services; its arguments follow
//	argument /usr/bin/thing
//	argument -x
//	service vault.Sign        what runs per call; its arguments follow
//	argument /bin/sh
//	mount /tpm                in the order of the descriptors "fuse:N"
//	domain tpm
//	name dev

#include "base/attempt.h"
#include "base/error.h"
#include "domain/manifest/manifest.h"

namespace bulkhead::domain {

struct Program_config
{
	std::vector<std::string> program{}; // empty: none
	std::vector<std::string> environment{}; // "NAME=value"
	std::vector<Service_command> commands{}; // each with at least a path; service "*": all others
	std::vector<Mount> mounts{};
	bool operator==(Program_config const &) const = default;
};

/* The longest text that is read. */
inline constexpr size_t PROGRAM_CONFIG_MAX = 1 << 20;

/* Texts have no NUL in them. */
std::string to_text(Program_config const &);

/* Error: INVALID, TOO_LONG. */
Attempt<Program_config> read_program_config(std::string_view text);

} // namespace bulkhead::domain
