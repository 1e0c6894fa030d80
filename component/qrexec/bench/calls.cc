// Calls per second, and what one costs.

#include "component/qrexec/bench/callers.h"
#include "component/qrexec/bench/parts.h"
#include "component/qrexec/bench/services.h"
#include "component/qrexec/bench/spawned.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

constexpr char TRUE[] = "/bin/true";
constexpr unsigned WARM_UP = 4;

/* Seconds of one. */
struct Row
{
	std::string name;
	std::function<void()> once;
	double at_most_floors = 0; // aim: how many times the floor
	double per_second = 0; // aim
	std::vector<double> times{};
	std::vector<double> computed{};
};

std::string per_second(double time)
{
	char text[64];
	snprintf(text, sizeof text, "%.0f /s", 1 / time);
	return text;
}

/* Of many short times on a machine that others use as well: a good one, but not the best. */
double good_one(std::vector<double> times)
{
	auto const quarter = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 4);
	std::nth_element(times.begin(), quarter, times.end());
	return *quarter;
}

/* Once each, in turns. The first row is the floor. What the first turns say doesn't count. */
void measure_in_turns(std::vector<Row> &rows, unsigned turns)
{
	for (unsigned turn = 0; turn < turns + WARM_UP; ++turn)
		for (Row &row : rows) {
			double const begin = now_s();
			row.once();
			if (turn >= WARM_UP) row.times.push_back(now_s() - begin);
		}
	for (Row const &row : rows) {
		double const time = good_one(row.times);
		double const ratio = time / good_one(rows[0].times);
		Aim aim{};
		if (row.at_most_floors > 0) aim = at_most(ratio, row.at_most_floors);
		if (row.per_second > 0) aim = at_least(1 / time, row.per_second, " /s");
		if (&row == &rows[0])
			figure(row.name + " (the floor)", in_us(time));
		else
			figure(row.name, row.per_second > 0 ? per_second(time) : in_us(time), ratio, aim);
	}
}

/* A link to it is a service as well. */
void provide_true(Domains const &domains)
{
	if (symlink(TRUE, domains.service(VAULT, "bench.True").c_str()) != 0) give_up("a link");
}

/* Rounds in turns. Beside the rate: what all processes computed, which others don't disturb. */
void measure_crowds(std::vector<Row> &rows, Options const &options, unsigned count)
{
	for (unsigned round = 0; round <= options.rounds() / 2; ++round)
		for (Row &row : rows) {
			double const before_s = computed_s(), begin = now_s();
			row.once();
			double const end = now_s(), after_s = computed_s();
			if (round == 0) continue;
			row.times.push_back((end - begin) / count);
			row.computed.push_back((after_s - before_s) / count);
		}
	for (Row const &row : rows) {
		double const time = *std::ranges::min_element(row.times);
		figure(row.name + ", computes " + in_us(median(row.computed)), per_second(time), {},
			row.per_second > 0 ? at_least(1 / time, row.per_second, " /s") : Aim{});
	}
}

} // namespace

void spawned_calls(Setting const &setting)
{
	Domains const shm(setting.where + "-shm", "shm");
	Domains const socket(setting.where + "-socket", "socket");
	provide_true(shm);
	provide_true(socket);
	Running const service = serve_questions(shm.service(VAULT, "bench.Service"));
	auto const environment = shm.environment(HOST);
	Command const floor({TRUE}, environment), shell_floor({"/bin/sh", "-c", "true"}, environment);
	Command const client(shm.host_call("bench.True"), environment);
	Command const command(shm.host_command("true"), environment);
	Command const on_socket(socket.host_call("bench.True"), socket.environment(HOST));
	Command const client_vm(shm.work_call("bench.True"), shm.environment(WORK));
	Command const to_socket(shm.work_call("bench.Service"), shm.environment(WORK));
	auto const by_host = shm.call(HOST, "bench.True"), by_work = shm.call(WORK, "bench.True");
	std::vector<Row> rows{
		{"posix_spawn of true, wait", [&] { floor.run(); }},
		{"posix_spawn of sh -c true, wait", [&] { shell_floor.run(); }},
		{"host: qrexec-client, service true", [&] { client.run(); }, 2.6},
		{"host: qrexec-client, command true, by a shell", [&] { command.run(); }, 2.6},
		{"host: qrexec-client, transport socket", [&] { on_socket.run(); }},
		{"host: library, service true", [&] { make_calls(by_host, 1, 1, true); }},
		{"work: library, policy, service true", [&] { make_calls(by_work, 1, 1, true); }, 0, 424},
		{"work: qrexec-client-vm, policy, service true", [&] { client_vm.run(); }, 0, 424},
		{"work: qrexec-client-vm, policy, running service", [&] { to_socket.run(); }},
	};
	title("calls that start programs, " + setting.cpus +
		"; first quartile of calls in turns, ratio to the floor");
	measure_in_turns(rows, 240 / setting.options.less());
}

void library_calls(Setting const &setting)
{
	Domains const shm(setting.where + "-shm", "shm");
	Domains const socket(setting.where + "-socket", "socket");
	Running const service = serve_questions(shm.service(VAULT, "bench.Service"));
	Running const other_service = serve_questions(socket.service(VAULT, "bench.Service"));
	auto const by_host = shm.call(HOST, "bench.Service");
	auto const by_work = shm.call(WORK, "bench.Service");
	auto const on_socket = socket.call(HOST, "bench.Service");
	unsigned const count = 1200 / setting.options.less();
	std::vector<Row> rows{
		{"host, one after the other", [&] { make_calls(by_host, count, 1); }, 0, 10'000},
		{"host, 16 at once", [&] { make_calls(by_host, count, 16); }, 0, 10'000},
		{"host, 100 at once", [&] { make_calls(by_host, count, 100); }, 0, 10'000},
		{"host, one after the other, transport socket", [&] { make_calls(on_socket, count, 1); }},
		{"host, 100 at once, transport socket", [&] { make_calls(on_socket, count, 100); }},
		{"work, policy, one after the other", [&] { make_calls(by_work, count, 1); }, 0, 1060},
		{"work, policy, 16 at once", [&] { make_calls(by_work, count, 16); }, 0, 1060},
		{"work, policy, 100 at once", [&] { make_calls(by_work, count, 100); }, 0, 1060},
	};
	title(
		"calls of a running service by the library, " + setting.cpus + "; best of rounds in turns");
	measure_crowds(rows, setting.options, count);
}

} // namespace bulkhead::bench
