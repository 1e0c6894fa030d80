#include "tool/domains/run.h"

#include "tool/report.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::tool {

std::string broker_program()
{
	if (char const *const path = getenv("BULKHEAD_BROKER"); path && *path) return path;
	std::error_code error;
	std::filesystem::path const here =
		std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
	std::filesystem::path const built = here.parent_path() / "component/broker/bulkhead-broker";
	if (std::filesystem::exists(built, error)) return built.string();
	return (here.parent_path() / "libexec/bulkhead/bulkhead-broker").string();
}

int run_system(Run_options const &options)
{
	std::string program = broker_program();
	std::vector<std::string> words{program};
	if (options.check) words.emplace_back("--check");
	if (options.verbose) words.emplace_back("--verbose");
	if (options.ready_fd >= 0) words.push_back(fmt::format("--ready-fd={}", options.ready_fd));
	if (!options.run_directory.empty())
		words.push_back(fmt::format("--run-dir={}", options.run_directory));
	words.emplace_back("--");
	words.push_back(options.manifest);
	std::vector<char *> arguments;
	for (std::string &word : words) arguments.push_back(word.data());
	arguments.push_back(nullptr);
	execv(program.c_str(), arguments.data());
	return report({Exit::FAILURE, fmt::format("{}: {}", program, strerror(errno)),
		"to install it, or to say where it is by BULKHEAD_BROKER"});
}

} // namespace bulkhead::tool
