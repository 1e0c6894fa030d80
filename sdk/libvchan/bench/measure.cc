#include "sdk/libvchan/bench/measure.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

unsigned misses = 0;

// The first two CPUs that we are allowed; read before the first process is pinned.
std::array<int, 2> const &cpus()
{
	static std::array<int, 2> const found = [] {
		cpu_set_t set;
		if (sched_getaffinity(0, sizeof set, &set) != 0) give_up("sched_getaffinity");
		std::array<int, 2> first{-1, -1};
		size_t n = 0;
		for (int cpu = 0; cpu < CPU_SETSIZE && n < first.size(); ++cpu)
			if (CPU_ISSET(cpu, &set)) first[n++] = cpu;
		return first;
	}();
	return found;
}

void pin_to(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0) give_up("sched_setaffinity");
}

std::string with_digits(double value, int digits)
{
	char text[64];
	snprintf(text, sizeof text, "%.*f", digits, value);
	return text;
}

/* A limit, as one would write it. */
std::string plainly(double value)
{
	char text[64];
	snprintf(text, sizeof text, "%g", value);
	return text;
}

} // namespace

void give_up(std::string const &what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what.c_str(), strerror(errno));
	exit(1);
}

std::vector<Placement> placements()
{
	if (cpus()[1] < 0) return {Placement::ONE_CPU};
	return {Placement::ONE_CPU, Placement::TWO_CPUS};
}

char const *name_of(Placement placement)
{
	return placement == Placement::ONE_CPU ? "one CPU" : "two CPUs";
}

void pin_asker() { pin_to(cpus()[0]); }

void pin_answerer(Placement placement) { pin_to(cpus()[placement == Placement::TWO_CPUS]); }

double now_s()
{
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
		.count();
}

double process_time_s()
{
	rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) != 0) give_up("getrusage");
	auto const seconds = [](timeval const &time) {
		return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
	};
	return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double median(std::vector<double> values)
{
	auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
	std::nth_element(values.begin(), middle, values.end());
	return *middle;
}

double median_ratio(std::vector<double> const &of, std::vector<double> const &to)
{
	std::vector<double> ratios(of.size());
	std::transform(of.begin(), of.end(), to.begin(), ratios.begin(), std::divides());
	return median(ratios);
}

void Peer::_serve(std::function<std::function<double(Order const &)>()> const &open)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	auto const obey = open();
	Order order;
	while (recv(_control, &order, sizeof order, 0) == sizeof order) {
		pin_answerer(order.placement);
		char const ready = 0;
		if (send(_control, &ready, 1, 0) != 1) break;
		double const result = obey(order);
		if (send(_control, &result, sizeof result, 0) != sizeof result) break;
	}
	_exit(0);
}

Peer::Peer(std::function<std::function<double(Order const &)>()> const &open)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
	fflush(stdout);
	_process = fork();
	if (_process < 0) give_up("fork");
	_control = ends[_process == 0];
	close(ends[_process != 0]);
	if (_process == 0) _serve(open);
}

Peer::~Peer()
{
	close(_control);
	kill(_process, SIGKILL);
	waitpid(_process, nullptr, 0);
}

void Peer::begin(Order const &order)
{
	char ready;
	if (send(_control, &order, sizeof order, MSG_NOSIGNAL) != sizeof order ||
		recv(_control, &ready, 1, 0) != 1)
		give_up("the other process");
}

double Peer::end()
{
	double result = 0;
	if (recv(_control, &result, sizeof result, 0) != sizeof result) give_up("the other process");
	return result;
}

void title(std::string const &text) { printf("\n%s\n", text.c_str()); }

Aim at_most(double value, double limit, char const *unit)
{
	return {"at most " + plainly(limit) + unit, value <= limit};
}

Aim at_least(double value, double limit, char const *unit)
{
	return {"at least " + plainly(limit) + unit, value >= limit};
}

void figure(
	std::string const &name, std::string const &value, std::optional<double> ratio, Aim const &aim)
{
	std::string line = "  " + name;
	line.resize(std::max<size_t>(line.size(), 50), ' ');
	char rest[128];
	snprintf(rest, sizeof rest, " %12s  %6s", value.c_str(),
		ratio ? with_digits(*ratio, 2).c_str() : "");
	line += rest;
	if (!aim.text.empty()) line += "  (aim: " + aim.text + ")  " + (aim.reached ? "OK" : "MISSED");
	line.erase(line.find_last_not_of(' ') + 1);
	printf("%s\n", line.c_str());
	misses += !aim.reached;
}

void remark(std::string const &text) { printf("  %s\n", text.c_str()); }

unsigned missed() { return misses; }

std::string in_us(double seconds) { return with_digits(seconds * 1e6, 2) + " us"; }

std::string in_gib_per_s(double rate) { return with_digits(rate / (1 << 30), 2) + " GiB/s"; }

std::string bytes_name(uint64_t bytes)
{
	if (bytes % (1 << 20) == 0) return std::to_string(bytes >> 20) + " MiB";
	if (bytes % 1024 == 0) return std::to_string(bytes >> 10) + " KiB";
	return std::to_string(bytes) + " B";
}

} // namespace bulkhead::bench
