#pragma once

// `bulkhead run`: hands over to the broker, or only looks for faults.

#include <string>

namespace bulkhead::tool {

struct Run_options
{
	std::string manifest{};
	std::string run_directory{}; // empty: the usual one
	int ready_fd = -1;
	bool check = false;
	bool verbose = false;
};

/* Where the broker's program is, whether or not it exists. */
std::string broker_program();

/* Returns the exit code, if it returns. */
int run_system(Run_options const &options);

} // namespace bulkhead::tool
