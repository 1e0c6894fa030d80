#pragma once

// What is wrong with a policy, and where. One fault in one file denies every call, so all of them
// are told at once (rpc/policy/text has the words).

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
};

} // namespace bulkhead::policy
