#pragma once

// `bulkhead mount`: files that a domain serves, for the programs of this machine.

#include <string>

namespace bulkhead::tool {

struct Mount_options
{
	std::string system{};
	std::string domain{};
	std::string name{}; // the argument of bulkhead.File
	std::string directory{};
	bool read_only = false;
	bool allow_other = false;
};

/* Until it is unmounted, or interrupted, which unmounts it. Returns the exit code. */
int mount_files(Mount_options const &options);

} // namespace bulkhead::tool
