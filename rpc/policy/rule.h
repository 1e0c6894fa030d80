#pragma once

// One rule, as it is once a policy is loaded. Domains are named by numbers into the policy's list
// of tokens; texts are the policy's.

#include "rpc/policy/table.h"

#include <array>
#include <optional>

namespace bulkhead::policy {

enum class Action : uint8_t { DENY, ALLOW, ASK };

/* As a rule has them. */
inline constexpr std::array<std::string_view, 3> ACTIONS{"deny", "allow", "ask"};

/* Instead of a service or argument: each. No service and no argument is called that. */
inline constexpr std::string_view EACH = "*";

/* Where something stands. Lines and columns (in bytes) count from 1; line 0: in no line. */
struct Place
{
	uint32_t file = NONE; // of Policy::file_name
	uint32_t line = 0;
	uint32_t column = 0;
};

struct Rule
{
	std::string_view service{}; // or EACH, then also the argument is
	std::string_view argument{}; // with its "+", or EACH
	uint32_t source = NONE; // of Policy::tokens
	uint32_t target = NONE; // of Policy::tokens
	uint32_t redirect = NONE; // of Policy::tokens: target=
	uint32_t default_target = NONE; // of Policy::tokens
	std::optional<std::string_view> user{};
	Action action = Action::DENY;
	bool notify = true;
	bool autostart = true;
	uint32_t next = NONE; // the next of Policy::rules with this service and argument
	Place place{};
};

} // namespace bulkhead::policy
