#pragma once

// `bulkhead logs`: what a domain has written to its standard output and error.

#include <cstdint>
#include <optional>
#include <string>

namespace bulkhead::tool {

struct Logs_options
{
	std::string system{};
	std::string domain{};
	bool follow = false;
	std::optional<uint64_t> lines{}; // the last ones only
};

/* The last lines of a text; one that isn't ended counts, too. */
std::string last_lines(std::string const &text, uint64_t lines);

/* Returns the exit code. */
int show_logs(Logs_options const &options);

} // namespace bulkhead::tool
