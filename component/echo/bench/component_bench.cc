// What calls between two running components cost, beside what a bare channel costs from the search
// for each other to its end.
//
//	component_bench [--quick]

#include "base/sync_wait.h"
#include "component/echo/bench/systems.h"
#include "platform/linux/clock.h"
#include "platform/linux/vchan/connection.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::echo {
namespace {

using linux_host::Channel_name;
using linux_host::Connection;
namespace sleep_for = vchan::sleep_for;

uint64_t now_us() { return linux_host::Monotonic_clock().now_us(); }

double median(std::vector<double> values)
{
	std::ranges::sort(values);
	return values[values.size() / 2];
}

/* A connection's share of the work: sends or takes a byte, waits as programs do. */
void check(bool good, char const *what)
{
	if (good) return;
	std::fprintf(stderr, "component_bench: %s\n", what);
	std::exit(1);
}

void send_byte(Connection &connection)
{
	uint8_t const byte = 1;
	check(connection.endpoint()->try_write({&byte, 1}).ok(), "a bare channel takes nothing");
}

void take_byte(Connection &connection)
{
	uint8_t byte = 0;
	vchan::Endpoint &end = *connection.endpoint();
	while (true) {
		auto taken = end.try_read({&byte, 1});
		if (!taken.ok() && taken.error() == vchan::Error::WOULD_BLOCK) {
			end.arm(sleep_for::DATA);
			taken = end.try_read({&byte, 1});
		}
		if (taken.ok()) return;
		check(taken.error() == vchan::Error::WOULD_BLOCK, "a bare channel ends");
		check(connection.wait().ok(), connection.message().c_str());
	}
}

void join(Connection &connection)
{
	while (!connection.joined()) check(connection.wait().ok(), connection.message().c_str());
}

/* Connect, round trip and close of a bare channel, one after the other; microseconds for each. */
double bare_us(std::string const &directory, Placement placement, unsigned count)
{
	constexpr uint32_t RING = 4096;
	auto const name = [](unsigned i) { return Channel_name{1, 2, static_cast<int>(i % 2)}; };
	pid_t const server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(placement, 1);
		std::optional<Connection> connections[2];
		auto const listen = [&](unsigned i) {
			auto const done = connections[i % 2].emplace().listen(name(i), {RING, RING}, directory);
			check(done.ok(), connections[i % 2]->message().c_str());
		};
		listen(0);
		for (unsigned i = 0; i < count; ++i) {
			join(*connections[i % 2]);
			take_byte(*connections[i % 2]);
			listen(i + 1);
			send_byte(*connections[i % 2]);
			connections[i % 2].reset();
		}
		_exit(0);
	}
	pin(placement, 0);
	uint64_t begin = 0;
	for (unsigned i = 0; i < count; ++i) {
		Connection connection;
		check(connection.connect(name(i), directory).ok(), connection.message().c_str());
		join(connection);
		send_byte(connection);
		take_byte(connection);
		if (i == 0) begin = now_us(); // the server is awake
	}
	double const us = static_cast<double>(now_us() - begin) / (count - 1);
	waitpid(server, nullptr, 0);
	return us;
}

/* What `bulkhead.Caller` says: microseconds for each call. */
double calls_us(System &system, unsigned count, unsigned depth)
{
	std::string const text = system.call("work",
		"bulkhead.Caller+vault+" + std::to_string(count) + "+" + std::to_string(depth) +
			"+bulkhead.Echo");
	unsigned done = 0, failed = 0;
	double us = 0;
	int const read = std::sscanf(text.c_str(), "calls %u failed %u us %lf", &done, &failed, &us);
	check(read == 3 && done == count && failed == 0, ("calls have failed: " + text).c_str());
	return us / count;
}

void measure(System &system, std::string const &directory, bool quick)
{
	unsigned const rounds = quick ? 3 : 5, count = quick ? 1000 : 2000;
	for (Placement const placement : {Placement::ONE_CPU, Placement::TWO_CPUS}) {
		system.pin(placement);
		std::vector<double> bare, ratio;
		std::vector<double> calls[4];
		constexpr unsigned DEPTHS[] = {1, 4, 16, 64};
		for (unsigned round = 0; round < rounds; ++round) {
			bare.push_back(bare_us(directory, placement, count / 4));
			for (size_t i = 0; i < 4; ++i) calls[i].push_back(calls_us(system, count, DEPTHS[i]));
			ratio.push_back(calls[0].back() / bare.back());
		}
		auto const before = system.processes();
		calls_us(system, count, 1);
		auto const after = system.processes();
		std::printf("%s, %s\n", system.name(), name_of(placement));
		std::printf("  %-52s %8.1f us\n", "bare channel: connect, round trip, close", median(bare));
		for (size_t i = 0; i < 4; ++i) {
			double const us = median(calls[i]);
			std::printf("  call, %2u at a time %33s %8.1f us %8.0f/s", DEPTHS[i], "", us, 1e6 / us);
			if (i == 0) std::printf("   ratio %.2f (aim: at most 3)", median(ratio));
			std::printf("\n");
		}
		for (size_t i = 0; i < before.size(); ++i)
			std::printf("  process time of %-36s %8.1f us\n", after[i].name.c_str(),
				(after[i].run_us - before[i].run_us) / count);
	}
}

void measure_round_trips(bool quick)
{
	for (Placement const placement : {Placement::ONE_CPU, Placement::TWO_CPUS}) {
		size_t const count = (placement == Placement::ONE_CPU ? 20'000 : 200'000) / (quick ? 4 : 1);
		std::vector<double> bare, call, ratio;
		for (unsigned round = 0; round < (quick ? 3 : 7); ++round) {
			bare.push_back(bare_round_trip_us(placement, count));
			call.push_back(call_round_trip_us(placement, count));
			ratio.push_back(call.back() / bare.back());
		}
		std::printf("round trip of 64 B, %s\n", name_of(placement));
		std::printf("  %-52s %8.2f us\n", "bare channel", median(bare));
		std::printf("  %-52s %8.2f us   ratio %.2f (aim: at most 3)\n", "within a call",
			median(call), median(ratio));
	}
}

} // namespace
} // namespace bulkhead::echo

int main(int count, char **arguments)
{
	using namespace bulkhead::echo;
	bool const quick = count > 1 && std::strcmp(arguments[1], "--quick") == 0;
	measure_round_trips(quick);
	char directory[] = "/tmp/component_bench.XXXXXX";
	if (!mkdtemp(directory)) return 1;
	{
		auto const system = fake_system();
		measure(*system, directory, quick);
	}
	if (auto const system = real_system(directory)) measure(*system, directory, quick);
	rmdir(directory);
	return 0;
}
