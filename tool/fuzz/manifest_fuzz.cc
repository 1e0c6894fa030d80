// Manifests of any origin: reading, checking and describing them must be safe.

#include "platform/linux/loop.h"
#include "tool/system.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	static linux_host::Loop loop;
	std::string text(reinterpret_cast<char const *>(data), size);
	host_system::Manifest manifest = host_system::parse_manifest("fuzz.toml", std::move(text));
	if (manifest.faults.empty()) {
		tool::System system(loop, manifest, Log());
		system.describe();
	}
	(void)manifest.describe_faults();
	return 0;
}
