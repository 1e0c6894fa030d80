#pragma once

// The command line of bulkhead-broker.

#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::broker {

/* As those of `bulkhead run`, which is replaced by this program. */
enum Exit_code { FAILED = 1, WRONG_USE = 2, BAD_MANIFEST = 3, UNABLE = 12, RUNS_ALREADY = 13 };

struct Options
{
	std::string manifest{}; // absolute, if it is there
	std::string run_directory{};
	int ready_fd = -1; // -1: none
	bool check = false;
	bool verbose = false;
	uint64_t sign_of_life_us = 10'000'000; // between two; sooner if systemd's watchdog wants that
	int exit_code = -1; // what there was to say has been said; -1: go on
};
Options read_options(int argc, char **argv);

/* The file of this program. */
std::string this_program();

/* Lines on the broker's own log. */
void say(std::string_view lines);

} // namespace bulkhead::broker
