#include "tool/domains/systems.h"

#include "platform/linux/runtime_directory.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

constexpr std::string_view START_ONE = "bulkhead run MANIFEST";

} // namespace

std::vector<std::string> systems_in(std::string const &directory)
{
	std::vector<std::string> systems;
	std::error_code error;
	std::filesystem::directory_iterator entry(directory, error);
	for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
		std::error_code ignored;
		if (std::filesystem::is_socket(entry->path() / "control", ignored))
			systems.push_back(entry->path().filename().string());
	}
	std::ranges::sort(systems);
	return systems;
}

Or_trouble<std::string> choose_system(
	std::vector<std::string> const &systems, std::string const &name)
{
	if (name.empty() && systems.size() == 1) return systems.front();
	if (systems.empty())
		return Trouble{Exit::SYSTEM,
			name.empty() ? std::string("no system runs here")
						 : fmt::format("no system '{}' runs here", name),
			fmt::format("{}, or another user; brokers are looked for in {}", START_ONE,
				linux_host::runtime_directory())};
	std::string const list = fmt::format("{}", fmt::join(systems, ", "));
	if (name.empty())
		return Trouble{Exit::SYSTEM, fmt::format("several systems run here: {}", list),
			fmt::format("--system {}", systems.front())};
	if (std::ranges::find(systems, name) == systems.end())
		return Trouble{Exit::SYSTEM, fmt::format("no system '{}' runs here", name),
			fmt::format("one of these: {}", list)};
	return name;
}

} // namespace bulkhead::tool
