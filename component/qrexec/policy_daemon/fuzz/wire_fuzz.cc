// Bytes on policy.sock, policy.EvalSimple and policy.EvalGUI: the first says which. What is taken
// for a question has no name that could break a line or a limit.

#include "component/qrexec/policy_daemon/journal.h"
#include "component/qrexec/policy_daemon/wire.h"

#include <algorithm>

namespace bulkhead::qrexec {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

bool one_line(std::string_view text)
{
	return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f'; });
}

void look_at(Asked const &asked)
{
	demand(!asked.source.empty() && one_line(asked.source));
	demand(one_line(asked.requested_source) && one_line(asked.target));
	demand(asked.argument.starts_with('+'));
	demand(asked.service.find('+') == std::string::npos);
	demand(asked.as_written.size() <= POLICY_QUESTION_MAX);
}

/* Whether the end is found must not depend on how the bytes were cut. */
void look_at_cuts(std::string_view text)
{
	bool const whole = question_complete(text, 0);
	bool found = false;
	size_t before = 0;
	for (size_t size = 1; size <= text.size() && !found; ++size) {
		found = question_complete(text.substr(0, size), before);
		before = size;
	}
	demand(found == whole);
}

} // namespace
} // namespace bulkhead::qrexec

extern "C" int LLVMFuzzerTestOneInput(unsigned char const *data, size_t size)
{
	using namespace bulkhead::qrexec;
	if (size == 0) return 0;
	Face const face = static_cast<Face>(data[0] % 3);
	std::string_view const text(reinterpret_cast<char const *>(data) + 1, size - 1);
	auto const parsed = parse_question(face, text);
	if (Asked const *const asked = std::get_if<Asked>(&parsed))
		look_at(*asked);
	else
		demand(one_line(printable(std::get<std::string>(parsed))));
	if (text.size() < 4096) look_at_cuts(text);
	return 0;
}
