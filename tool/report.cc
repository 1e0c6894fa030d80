#include "tool/report.h"

#include <cstdio>
#include <fmt/format.h>

namespace bulkhead::tool {

int report(Trouble const &trouble)
{
	fmt::print(stderr, "bulkhead: {}\n", trouble.what);
	if (!trouble.remedy.empty()) fmt::print(stderr, "bulkhead: try: {}\n", trouble.remedy);
	return static_cast<int>(trouble.exit);
}

int report_faults(host_system::Manifest const &manifest)
{
	fmt::print(stderr, "{}", manifest.describe_faults());
	size_t const count = manifest.faults.size();
	fmt::print(
		stderr, "bulkhead: {} {} in {}\n", count, count == 1 ? "fault" : "faults", manifest.path);
	return static_cast<int>(Exit::MANIFEST);
}

void Stderr_sink::log(Level level, std::string_view message)
{
	fmt::print(stderr, "bulkhead: {}: {}\n", name_of(level), message);
}

} // namespace bulkhead::tool
