// Access rules of any origin: reading them is safe, what is wrong is told line by line in printable
// words, and with a fault nobody is allowed anything.

#include "platform/linux/vchan/access_rules.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

bool known(std::string const &name, uid_t &user)
{
	user = static_cast<uid_t>(name.size());
	return name.starts_with('a');
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using bulkhead::linux_host::Access_rules;
	std::string_view const text(reinterpret_cast<char const *>(data), size);
	Access_rules rules;
	auto const faults = rules.read(text, known);
	auto const lines = static_cast<unsigned>(std::ranges::count(text, '\n')) + 1;
	unsigned line = 1;
	for (auto const &fault : faults) {
		demand(fault.line >= line && fault.line <= lines && !fault.text.empty());
		line = fault.line;
		for (char const c : fault.text) demand(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
	}
	for (int domain = 0; domain < 10; ++domain) {
		demand(!rules.allows(domain, UINT32_MAX));
		for (uid_t user = 0; user < 10; ++user)
			demand(!rules.allows(domain, user) || faults.empty());
		demand(!rules.allows_others(domain) || faults.empty());
	}
	return 0;
}
