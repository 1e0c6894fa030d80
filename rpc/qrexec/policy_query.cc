#include "rpc/qrexec/policy_query.h"

#include <algorithm>
#include <array>
#include <initializer_list>

namespace bulkhead::qrexec {

namespace {

struct Pair
{
	std::string_view key{};
	std::string_view value{};
};

bool printable(std::string_view value)
{
	return std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
}

/* Takes a line, which isn't empty, and its end off a text. */
Attempt<Pair, Query_fault> take_pair(std::string_view &text)
{
	size_t const end = std::min(text.find('\n'), text.size());
	std::string_view const line = text.substr(0, end);
	text.remove_prefix(std::min(end + 1, text.size()));
	size_t const equals = line.find('=');
	if (equals == line.npos) return Query_fault::BAD_LINE;
	Pair const pair{line.substr(0, equals), line.substr(equals + 1)};
	if (!printable(pair.value)) return Query_fault::BAD_VALUE;
	return pair;
}

/* Values by the number of their key. */
template <size_t N>
class Values
{
private:
	std::array<std::optional<std::string_view>, N> _values{};

public:
	Attempt<void, Query_fault> set(size_t key, std::string_view value)
	{
		if (_values[key]) return Query_fault::REPEATED_KEY;
		_values[key] = value;
		return Ok{};
	}

	bool has(size_t key) const { return _values[key].has_value(); }
	std::string_view of(size_t key) const { return _values[key].value_or(std::string_view()); }
};

template <size_t N>
size_t number_of(std::array<std::string_view, N> const &keys, std::string_view key)
{
	return static_cast<size_t>(std::ranges::find(keys, key) - keys.begin());
}

namespace question {
enum : size_t { SOURCE, TARGET, SERVICE, REQUESTED_SOURCE, ASSUME_YES, JUST_EVALUATE, COUNT };
constexpr std::array<std::string_view, COUNT> KEYS{"source", "intended_target", "service_and_arg",
	"requested_source", "assume_yes_for_ask", "just_evaluate"};
} // namespace question

namespace answer {
enum : size_t {
	RESULT,
	USER,
	TARGET,
	TARGET_UUID,
	AUTOSTART,
	REQUESTED_TARGET,
	SERVICE,
	POLICY_SOURCE,
	COUNT
};
constexpr std::array<std::string_view, COUNT> KEYS{"result", "user", "target", "target_uuid",
	"autostart", "requested_target", "service", "policy_source"};
} // namespace answer

/* Which of two words a value is. */
Attempt<bool, Query_fault> choice(std::string_view value, std::string_view yes, std::string_view no)
{
	if (value != yes && value != no) return Query_fault::BAD_VALUE;
	return value == yes;
}

bool all_printable(std::initializer_list<std::string_view> values)
{
	return std::ranges::all_of(values, printable);
}

bool all_there(std::initializer_list<std::string_view> values)
{
	return std::ranges::none_of(values, &std::string_view::empty);
}

void put(Text_writer &to, std::string_view key, std::string_view value)
{
	format_all(to, key, '=', value, '\n');
}

void put_unless_empty(Text_writer &to, std::string_view key, std::string_view value)
{
	if (!value.empty()) put(to, key, value);
}

size_t written(Text_writer const &writer) { return writer.cut() ? 0 : writer.text().size(); }

} // namespace

std::string_view name_of(Query_fault fault)
{
	switch (fault) {
	case Query_fault::TOO_LONG: return "the text is too long";
	case Query_fault::BAD_LINE: return "a line isn't key=value";
	case Query_fault::UNKNOWN_KEY: return "a key is unknown";
	case Query_fault::REPEATED_KEY: return "a key is there twice";
	case Query_fault::MISSING_KEY: return "a key that must be there is missing";
	case Query_fault::FORBIDDEN_KEY: return "a denial has a key of a permission";
	case Query_fault::BAD_VALUE: return "a value is empty, not of its words, or not printable";
	}
	return "an unknown fault";
}

Attempt<Policy_question, Query_fault> parse_policy_question(std::string_view text)
{
	using namespace question;
	if (text.size() > POLICY_QUESTION_MAX) return Query_fault::TOO_LONG;
	Values<COUNT> values;
	while (!text.empty() && text != "\n") {
		Pair const pair = TRY(take_pair(text));
		size_t const key = number_of(KEYS, pair.key);
		if (key == COUNT) return Query_fault::UNKNOWN_KEY;
		TRY(values.set(key, pair.value));
	}
	for (size_t const key : {SOURCE, TARGET, SERVICE})
		if (!values.has(key)) return Query_fault::MISSING_KEY;

	Policy_question result;
	result.source = values.of(SOURCE);
	result.requested_source = values.of(REQUESTED_SOURCE);
	result.intended_target = values.of(TARGET);
	result.service_and_argument = values.of(SERVICE);
	if (result.source.empty() || result.service_and_argument.empty()) return Query_fault::BAD_VALUE;
	if (values.has(ASSUME_YES))
		result.assume_yes_for_ask = TRY(choice(values.of(ASSUME_YES), "yes", "no"));
	if (values.has(JUST_EVALUATE))
		result.just_evaluate = TRY(choice(values.of(JUST_EVALUATE), "yes", "no"));
	return result;
}

Attempt<Policy_answer, Query_fault> parse_policy_answer(std::string_view text)
{
	using namespace answer;
	if (text.size() > POLICY_ANSWER_MAX) return Query_fault::TOO_LONG;
	Values<COUNT> values;
	while (!text.empty()) {
		Pair const pair = TRY(take_pair(text));
		size_t const key = number_of(KEYS, pair.key);
		if (key != COUNT) TRY(values.set(key, pair.value));
	}
	if (!values.has(RESULT)) return Query_fault::MISSING_KEY;

	Policy_answer result;
	result.allow = TRY(choice(values.of(RESULT), "allow", "deny"));
	for (size_t const key : {USER, TARGET, AUTOSTART, REQUESTED_TARGET}) {
		if (result.allow && !values.has(key)) return Query_fault::MISSING_KEY;
		if (result.allow && values.of(key).empty()) return Query_fault::BAD_VALUE;
	}
	if (!result.allow) {
		for (size_t key = USER; key < COUNT; ++key)
			if (values.has(key)) return Query_fault::FORBIDDEN_KEY;
		return result;
	}
	result.user = values.of(USER);
	result.target = values.of(TARGET);
	result.target_uuid = values.of(TARGET_UUID);
	result.requested_target = values.of(REQUESTED_TARGET);
	result.service = values.of(SERVICE);
	result.policy_source = values.of(POLICY_SOURCE);
	result.autostart = TRY(choice(values.of(AUTOSTART), "True", "False"));
	return result;
}

size_t write_policy_question(Policy_question const &question, std::span<char> to)
{
	using namespace question;
	if (!all_there({question.source, question.service_and_argument}) ||
		!all_printable({question.source, question.requested_source, question.intended_target,
			question.service_and_argument}))
		return 0;
	Text_writer writer{to.first(std::min(to.size(), POLICY_QUESTION_MAX))};
	put(writer, KEYS[SOURCE], question.source);
	put_unless_empty(writer, KEYS[REQUESTED_SOURCE], question.requested_source);
	put(writer, KEYS[TARGET], question.intended_target);
	put(writer, KEYS[SERVICE], question.service_and_argument);
	if (question.assume_yes_for_ask) put(writer, KEYS[ASSUME_YES], "yes");
	if (question.just_evaluate) put(writer, KEYS[JUST_EVALUATE], "yes");
	writer.put('\n');
	return written(writer);
}

size_t write_policy_answer(Policy_answer const &answer, std::span<char> to)
{
	using namespace answer;
	Text_writer writer{to.first(std::min(to.size(), POLICY_ANSWER_MAX))};
	if (!answer.allow) {
		put(writer, KEYS[RESULT], "deny");
		return written(writer);
	}
	if (!all_there({answer.user, answer.target, answer.requested_target}) ||
		!all_printable({answer.user, answer.target, answer.target_uuid, answer.requested_target,
			answer.service, answer.policy_source}))
		return 0;
	put(writer, KEYS[USER], answer.user);
	put(writer, KEYS[RESULT], "allow");
	put(writer, KEYS[TARGET], answer.target);
	put_unless_empty(writer, KEYS[TARGET_UUID], answer.target_uuid);
	put(writer, KEYS[AUTOSTART], answer.autostart ? "True" : "False");
	put(writer, KEYS[REQUESTED_TARGET], answer.requested_target);
	put_unless_empty(writer, KEYS[SERVICE], answer.service);
	put_unless_empty(writer, KEYS[POLICY_SOURCE], answer.policy_source);
	return written(writer);
}

} // namespace bulkhead::qrexec
