#pragma once

// What is wrong with a policy: where, what, and what to do about it. One fault in one file denies
// every call, so all of them are told at once.

#include "base/format.h"
#include "rpc/policy/rule.h"

namespace bulkhead::policy {

struct Fault
{
	enum class Kind : uint8_t {
		// A rule; `subject` is the word.
		TOO_FEW_FIELDS, // subject: the line
		SERVICE_CHARACTER,
		ARGUMENT_CHARACTER,
		ARGUMENT_WITHOUT_PLUS,
		ARGUMENT_OF_EVERY_SERVICE,
		UNKNOWN_SOURCE,
		UNKNOWN_TARGET,
		UNKNOWN_REDIRECT,
		SOURCE_NOT_HERE,
		TARGET_NOT_HERE,
		REDIRECT_NOT_HERE,
		EMPTY_TOKEN,
		UNKNOWN_ACTION,
		PARAMETER_WITHOUT_VALUE,
		UNKNOWN_PARAMETER,
		PARAMETER_OF_OTHER_ACTION,
		REPEATED_PARAMETER,
		NOT_YES_OR_NO,
		ALLOW_WITHOUT_TARGET,

		// A directive; `subject` is the directive, or the path.
		UNKNOWN_DIRECTIVE,
		DIRECTIVE_FIELDS,
		NOT_IN_OLD_FORMAT,
		NO_FILE,
		NO_DIRECTORY,
		UNREADABLE,
		INCLUDES_ITSELF,
		TOO_DEEP,
		TOO_MUCH,

		// A file or directory, without a line; `subject` is its name.
		FILE_NAME,
		NO_POLICY,
	};

	Kind kind;
	Place place;
	std::string_view subject; // the policy's
	std::string_view suggestion{}; // what may have been meant; empty if nothing comes near
};

/* What is wrong, as one sentence without its full stop. */
void write_message(Text_writer &to, Fault const &fault);

/* What to do about it, as one sentence without its full stop. */
void write_remedy(Text_writer &to, Fault const &fault);

/* The word that `wrong` comes near, or none. */
std::string_view nearest(std::string_view wrong, std::span<std::string_view const> words);

} // namespace bulkhead::policy
