// What a person's GUI says: a word for a target, a no, or nothing that means anything.

#include "component/qrexec/policy_daemon/person.h"

#include <algorithm>

extern "C" int LLVMFuzzerTestOneInput(unsigned char const *data, size_t size)
{
	using namespace bulkhead::qrexec;
	std::string_view const text(reinterpret_cast<char const *>(data), size);
	Reply const reply = parse_reply(text);
	bool const word = !reply.target.empty() &&
		std::ranges::all_of(reply.target, [](char c) { return c > ' ' && c < '\x7f'; });
	bool const right = reply.kind == Reply::Kind::ALLOW ? word && text.ends_with(reply.target)
		: reply.kind == Reply::Kind::DENY               ? text == "deny"
														: reply.target.empty();
	if (!right) abort();
	return 0;
}
