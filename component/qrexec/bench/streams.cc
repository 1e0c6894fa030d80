// Long streams through one call, beside what the same programs reach without one.

#include "component/qrexec/bench/callers.h"
#include "component/qrexec/bench/parts.h"
#include "component/qrexec/bench/services.h"
#include "component/qrexec/bench/spawned.h"

#include <array>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

using linux_host::Owned_fd;

struct Row
{
	std::string name;
	std::function<void()> once;
	bool aimed;
	std::vector<double> rates{};
};

struct Ends
{
	Owned_fd in{}; // to read
	Owned_fd out{}; // to write

	explicit Ends(bool socket)
	{
		std::array<int, 2> ends{};
		int const error = socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data())
								 : pipe2(ends.data(), O_CLOEXEC);
		if (error) give_up("a pipe");
		in.reset(ends[0]);
		out.reset(ends[1]);
	}
};

/* From here into a process that only reads. */
void through(bool socket, uint64_t bytes)
{
	Ends ends(socket);
	Ends done(false);
	Running const reader = in_another_process([&] {
		ends.out.reset();
		(void)drain(ends.in.value());
		(void)!write(done.out.value(), "", 1);
	});
	pour(ends.out.value(), bytes);
	ends.out.reset();
	char byte;
	if (read(done.in.value(), &byte, 1) != 1) give_up("a reader");
}

/* By a pipe into `cat`, and from there by a pipe into the next. */
void through_cats(uint64_t bytes, int null)
{
	static std::vector<std::string> const environment{"PATH=/usr/bin:/bin"};
	static Command const cat({"/bin/cat"}, environment);
	Ends first(false), second(false);
	pid_t const one = cat.start(first.in.value(), second.out.value());
	pid_t const two = cat.start(second.in.value(), null);
	first.in.reset();
	second.in.reset();
	second.out.reset();
	pour(first.out.value(), bytes);
	first.out.reset();
	finish(one, cat.name());
	finish(two, cat.name());
}

void into_client(Command const &client, uint64_t bytes)
{
	Ends pipe(false);
	pid_t const process = client.start(pipe.in.value());
	pipe.in.reset();
	pour(pipe.out.value(), bytes);
	pipe.out.reset();
	finish(process, client.name());
}

void out_of_client(Command const &client, uint64_t bytes)
{
	Ends pipe(false);
	pid_t const process = client.start(-1, pipe.out.value());
	pipe.out.reset();
	if (drain(pipe.in.value()) != bytes) give_up("bytes are missing");
	finish(process, client.name());
}

} // namespace

void call_streams(Setting const &setting)
{
	Domains const domains(setting.where + "-shm", "shm");
	uint64_t const bytes = (uint64_t{256} << 20) / setting.options.less();
	Running const drains = serve_drain(domains.service(VAULT, "bench.Drain"));
	Running const source = serve_source(domains.service(VAULT, "bench.Source"), bytes);
	domains.script(VAULT, "bench.Cat", "exec cat >/dev/null\n");
	domains.script(VAULT, "bench.Zeros", "exec head -c " + std::to_string(bytes) + " /dev/zero\n");
	auto const environment = domains.environment(HOST);
	Command const down(domains.host_call("bench.Cat"), environment);
	Command const up(domains.host_call("bench.Zeros"), environment);
	auto const into_service = domains.call(HOST, "bench.Drain");
	auto const from_service = domains.call(HOST, "bench.Source");
	Owned_fd const null(open("/dev/null", O_RDWR | O_CLOEXEC));
	std::vector<Row> rows{
		{"a pipe (the floor)", [&] { through(false, bytes); }, false},
		{"a unix socket", [&] { through(true, bytes); }, false},
		{"a pipe, cat, a pipe, cat", [&] { through_cats(bytes, null.value()); }, false},
		{"library to service", [&] { pour_into_call(into_service, bytes); }, true},
		{"service to library", [&] { drain_call(from_service, bytes); }, true},
		{"pipe, qrexec-client, to cat", [&] { into_client(down, bytes); }, true},
		{"head, to qrexec-client, pipe", [&] { out_of_client(up, bytes); }, true},
	};
	title("a stream of " + bytes_name(bytes) + " through a call, " + setting.cpus);
	for (unsigned round = 0; round <= setting.options.rounds() / 2; ++round)
		for (Row &row : rows) {
			double const begin = now_s();
			row.once();
			if (round) row.rates.push_back(static_cast<double>(bytes) / (now_s() - begin));
		}
	for (Row const &row : rows) {
		double const rate = median(row.rates);
		figure(row.name, in_gib_per_s(rate), median_ratio(row.rates, rows[0].rates),
			row.aimed ? at_least(rate / (1 << 30), 1, " GiB/s") : Aim{});
	}
}

} // namespace bulkhead::bench
