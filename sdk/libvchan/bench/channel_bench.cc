// What a channel between two processes costs: against floors that are measured in the same run, in
// turns, with both processes on one CPU and on two. See `usage`.

#include "sdk/libvchan/bench/measure.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <unistd.h>

namespace {

using namespace bulkhead::bench;

constexpr char USAGE[] =
	"usage: channel_bench [--quick] [PART...]\n"
	"parts: round_trip spin throughput connect wait crowd; all, if none is named\n";

struct Part
{
	char const *name;
	void (*run)(Options const &, std::string const &directory);
};

constexpr Part PARTS[] = {
	{"round_trip", round_trips},
	{"spin", spinning_round_trips},
	{"throughput", throughputs},
	{"connect", connects},
	{"wait", waits},
	{"crowd", crowds},
};

} // namespace

int main(int count, char **arguments)
{
	Options options;
	std::vector<Part> wanted;
	for (int i = 1; i < count; ++i) {
		auto const named = [&](Part const &part) { return strcmp(part.name, arguments[i]) == 0; };
		if (strcmp(arguments[i], "--quick") == 0)
			options.quick = true;
		else if (auto const *part = std::ranges::find_if(PARTS, named); part != std::end(PARTS))
			wanted.push_back(*part);
		else
			return fputs(USAGE, stderr), 2;
	}
	if (wanted.empty()) wanted.assign(std::begin(PARTS), std::end(PARTS));

	std::setvbuf(stdout, nullptr, _IOLBF, 0);
	alarm(300); // it takes less than 60 s; the other processes end with this one
	(void)placements(); // before this one is pinned
	pin_asker();
	// As /run, where channels usually meet: in memory.
	char directory[] = "/dev/shm/channel_bench.XXXXXX";
	if (!mkdtemp(directory)) give_up(directory);
	printf("medians of %u rounds in turns; \"two CPUs\": one for each process\n", options.rounds());
	for (Part const &part : wanted) part.run(options, directory);
	std::filesystem::remove_all(directory);
	printf("\n%u aims missed\n", missed());
}
