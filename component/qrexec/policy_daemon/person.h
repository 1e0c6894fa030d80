#pragma once

// What is said to a person's GUI and what comes back: the texts of policy.Ask and policy.Notify.

#include "component/qrexec/policy_daemon/system_info.h"
#include "rpc/policy/ask/asker.h"

#include <string>
#include <string_view>

namespace bulkhead::qrexec {

/* The JSON of policy.Ask, about the asker's last verdict, which is ASK. */
std::string question_text(System_info const &info, policy::Asker const &asker,
	policy::Request const &request, policy::Verdict const &verdict);

/* The JSON of policy.Notify; `resolution` is "allow" or "deny". */
std::string notice_text(std::string_view resolution, policy::Request const &request,
	std::string_view source, std::string_view target);

/* `@dispvm:work`, as the policy writes it. */
std::string text_of(policy::Asker const &asker, policy::Destination const &destination);

/* What a person has said: views of the text. */
struct Reply
{
	enum class Kind : uint8_t { INVALID, DENY, ALLOW };

	Kind kind = Kind::INVALID;
	std::string_view target{}; // of ALLOW
};

/* `allow:TARGET` or `deny`, and nothing else. */
Reply parse_reply(std::string_view text);

} // namespace bulkhead::qrexec
