#pragma once

// The text that a daemon and the policy daemon exchange on /run/qubes/policy.sock: lines
// `key=value`, an empty line ends the question, the end of the stream the answer.

#include "base/attempt.h"
#include "base/fixed_string.h"
#include "base/format.h"

#include <optional>
#include <string_view>

namespace bulkhead::qrexec {

/* Views of the text. */
struct Policy_question
{
	std::string_view source{};
	std::string_view requested_source{}; // or empty
	std::string_view intended_target{}; // may be empty
	std::string_view service_and_argument{};
	bool assume_yes_for_ask = false;
	bool just_evaluate = false;
};

struct Policy_answer
{
	bool allow = false;
	std::string_view user{}; // of `allow`, as all that follows
	std::string_view target{};
	std::string_view target_uuid{}; // or empty
	std::string_view requested_target{};
	std::string_view service{}; // empty: as asked for
	std::string_view policy_source{}; // or empty
	bool autostart = true;
};

enum class Query_fault : uint8_t {
	TOO_LONG = 1,
	BAD_LINE,
	UNKNOWN_KEY,
	REPEATED_KEY,
	MISSING_KEY,
	FORBIDDEN_KEY, // a denial that names what only a permission has
	BAD_VALUE // empty where it mustn't be, not of its words, or not printable ASCII
};

std::string_view name_of(Query_fault fault);

inline constexpr size_t POLICY_ANSWER_MAX = 4096; // bytes
inline constexpr size_t POLICY_QUESTION_MAX = 65536 + 512;

/*
 * Of a whole text: question with or without its empty line, answer up to the end. UNKNOWN_KEY is
 * for questions only: an answer's further keys are ignored.
 */
Attempt<Policy_question, Query_fault> parse_policy_question(std::string_view text);
Attempt<Policy_answer, Query_fault> parse_policy_answer(std::string_view text);

/*
 * With the empty line of a question. Bytes written, 0 if `to` is too small, or the text one that
 * wouldn't be parsed: a value that isn't printable ASCII, no source, service or (allowed) no user,
 * target or requested target, too long.
 */
size_t write_policy_question(Policy_question const &question, std::span<char> to);
size_t write_policy_answer(Policy_answer const &answer, std::span<char> to);

} // namespace bulkhead::qrexec
