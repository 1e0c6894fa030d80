#pragma once

// What comes in on the sockets, made into questions: without I/O, so that each byte can be tried.

#include "component/qrexec/policy_daemon/question.h"
#include "component/qrexec/policy_daemon/server.h"
#include "rpc/qrexec/policy_query.h"

namespace bulkhead::qrexec {

/* Whether a daemon's question is whole: an empty line ends it. Looks at what is new only. */
bool question_complete(std::string_view received, size_t looked_at);

/* The longest that is read on a socket, in bytes; more is no question. */
inline constexpr size_t EVAL_QUESTION_MAX = 2 * 65536 + 96;
constexpr size_t question_max(Face face)
{
	return face == Face::DAEMONS ? POLICY_QUESTION_MAX : EVAL_QUESTION_MAX;
}

/* Or what is wrong with it, in words for the journal. */
std::variant<Asked, std::string> parse_question(Face face, std::string_view received);

} // namespace bulkhead::qrexec
