#pragma once

// The domains of this machine, as qubesd's internal.GetSystemInfo or a file describes them in JSON:
// what the policy must know of them, and what it takes to ask a person.

#include "rpc/policy/system.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bulkhead::qrexec {

struct System_info
{
	/* Of a domain, beside what the policy knows. */
	struct Face
	{
		std::string gui_domain{}; // where its user is asked; empty: nowhere
		std::string icon{};
	};

	static constexpr size_t TEXT_MAX = 64 * 1024 * 1024; // bytes

	Owned<policy::System> system{};
	std::vector<Face> faces{}; // by the number of the domain

	/* By number; none for NONE. */
	Face const &face(uint32_t domain) const;
	std::string_view name(uint32_t domain) const;
};

/*
 * Or what is wrong with the text, in a sentence. Names with blanks or control characters are a
 * fault, since they go into answers that consist of lines. The allocator outlives the result.
 */
std::variant<System_info, std::string> parse_system_info(
	Allocator &allocator, std::string_view text);

/* The payload of qubesd's answer, or why there is none. */
std::variant<std::string_view, std::string> parse_qubesd_answer(std::string_view answer);

} // namespace bulkhead::qrexec
