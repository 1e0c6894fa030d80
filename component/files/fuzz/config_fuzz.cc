// Configurations of the file service, of any origin: reading them must be safe, and what they allow
// stays what they say.

#include "component/files/exports.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	std::string text(reinterpret_cast<char const *>(data), size);
	host_system::Manifest manifest =
		host_system::parse_manifest("fuzz.toml", std::move(text), host_system::Audience::COMPONENT);
	files::Exports exports(manifest, Log());
	exports.read();
	(void)manifest.describe_faults();
	for (auto const &[name, of] : exports.all()) {
		std::string const label = files::Exports::label_of("web", name);
		auto const *const rule = files::Exports::rule_for(of, "web");
		auto const *const commands = exports.rule_of({.label = label});
		if (commands != (rule ? &rule->commands : nullptr)) abort();
		// Without a number nothing of a vendor can have been named.
		bool const numbers = manifest.text.find_first_of("0123456789") != manifest.text.npos;
		if (!numbers && commands && commands->allows(0x2000'0001)) abort();
		if (exports.rule_of({.label = "web"}) || exports.addresses_of({.label = ""})) abort();
	}
	return 0;
}
