#pragma once

// One rule, as it is once a policy is loaded. Domains are named by numbers into the policy's lists
// of tokens; texts are the policy's.

#include "rpc/policy/table.h"

#include <cstdint>
#include <string_view>

namespace bulkhead::policy {

enum class Action : uint8_t { DENY, ALLOW, ASK };

constexpr std::string_view name_of(Action action)
{
	switch (action) {
	case Action::DENY: return "deny";
	case Action::ALLOW: return "allow";
	case Action::ASK: return "ask";
	}
	return "deny";
}

/* Where something stands. Lines and columns (in bytes) count from 1; line 0: in no line. */
struct Place
{
	uint32_t file = NONE; // of Policy::file_name
	uint32_t line = 0;
	uint32_t column = 0;
};

struct Rule
{
	std::string_view service{};
	std::string_view argument{}; // with its "+"
	bool any_service = false; // service is empty, and so is argument
	bool any_argument = false; // argument is empty
	uint32_t source = NONE; // of Policy::sources
	uint32_t target = NONE; // of Policy::targets
	uint32_t redirect = NONE; // of Policy::targets: target=
	uint32_t default_target = NONE; // of Policy::targets
	std::string_view user{};
	bool has_user = false;
	Action action = Action::DENY;
	bool notify = true;
	bool autostart = true;
	Place place{};
};

} // namespace bulkhead::policy
