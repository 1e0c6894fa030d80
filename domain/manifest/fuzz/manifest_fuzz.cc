// Manifests of any origin: reading and describing them must be safe, and what is without fault
// holds what the broker relies on.

#include "base/assert.h"
#include "domain/gate/message.h"
#include "domain/manifest/manifest.h"
#include "domain/manifest/program_config.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	std::string const text(reinterpret_cast<char const *>(data), size);
	domain::Reading const reading = domain::parse_manifest(text, "/fuzz/fuzz.toml");
	BULKHEAD_ASSERT(reading.faults.empty() == reading.describe_faults().empty());
	if (!reading.faults.empty()) return 0;
	std::set<std::string_view> names;
	for (domain::Domain_plan const &plan : reading.plan.domains) {
		for (std::string const &need : plan.needs) BULKHEAD_ASSERT(names.contains(need));
		for (domain::Seen_file const &file : plan.files)
			BULKHEAD_ASSERT(file.source.starts_with('/') && file.target.starts_with('/'));
		BULKHEAD_ASSERT(!plan.name.empty() && plan.name.size() <= domain::NAME_MAX_BYTES);
		BULKHEAD_ASSERT(names.insert(plan.name).second && plan.same_as(plan));
		if (plan.component.empty()) BULKHEAD_ASSERT(domain::read_program_config(plan.config).ok());
	}
	return 0;
}
