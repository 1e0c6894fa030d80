// Questions to the policy daemon and its answers: what is taken, written and taken again is the
// same. Input: which of the two, text.

#include "rpc/qrexec/fuzz/support.h"
#include "rpc/qrexec/policy_query.h"

#include <vector>

namespace bulkhead::qrexec::fuzz {
namespace {

bool same(Policy_question const &a, Policy_question const &b)
{
	return a.source == b.source && a.requested_source == b.requested_source &&
		a.intended_target == b.intended_target &&
		a.service_and_argument == b.service_and_argument &&
		a.assume_yes_for_ask == b.assume_yes_for_ask && a.just_evaluate == b.just_evaluate;
}

bool same(Policy_answer const &a, Policy_answer const &b)
{
	return a.allow == b.allow && a.user == b.user && a.target == b.target &&
		a.target_uuid == b.target_uuid && a.requested_target == b.requested_target &&
		a.service == b.service && a.policy_source == b.policy_source && a.autostart == b.autostart;
}

void ask(std::string_view text)
{
	auto const question = parse_policy_question(text);
	if (!question.ok()) {
		demand(!name_of(question.error()).empty());
		return;
	}
	// With the empty line that the text may lack; the longest can't have one more.
	std::vector<char> memory(text.size() + 2);
	size_t const size = write_policy_question(question.value(), memory);
	if (size == 0 && text.size() + 2 > POLICY_QUESTION_MAX) return;
	auto const again = parse_policy_question({memory.data(), size});
	demand(again.ok() && same(again.value(), question.value()));
}

void answer(std::string_view text)
{
	auto const parsed = parse_policy_answer(text);
	if (!parsed.ok()) {
		demand(!name_of(parsed.error()).empty());
		return;
	}
	std::vector<char> memory(text.size() + 1);
	size_t const size = write_policy_answer(parsed.value(), memory);
	if (size == 0 && text.size() + 1 > POLICY_ANSWER_MAX) return;
	auto const again = parse_policy_answer({memory.data(), size});
	demand(again.ok() && same(again.value(), parsed.value()));
}

} // namespace
} // namespace bulkhead::qrexec::fuzz

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::qrexec;
	Bytes input(data, size);
	bool const question = fuzz::take_choice(input) % 2 != 0;
	if (question)
		fuzz::ask(text_of(input));
	else
		fuzz::answer(text_of(input));
	return 0;
}
