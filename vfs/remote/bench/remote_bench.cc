// Reads of a file that another process serves over a channel, as ratios to a round trip of the bare
// channel and to memcpy in the same run, in turns: client and server on two CPUs, then on one.
//
//	remote_bench [SECONDS per measurement, 0.1]

#include "vfs/remote/test/channel_stream.h"
#include "vfs/remote/test/world.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace bulkhead;
using namespace bulkhead::remote;

namespace {

constexpr unsigned ROUNDS = 9;
constexpr size_t SMALL = 64;
constexpr size_t LARGE = 64 * 1024;
constexpr size_t FILE_BYTES = 1 << 20;
constexpr size_t DEPTH = 16;
constexpr size_t LARGE_DEPTH = 8;
constexpr vchan::Sizes RINGS{1 << 20, 1 << 20};

// As long as a request to read is, and its answer.
constexpr size_t REQUEST = 80;
constexpr size_t ANSWER = 16 + SMALL;

[[noreturn]] void give_up(char const *what)
{
	perror(what);
	exit(1);
}

void pin(pid_t process, int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(process, sizeof set, &set) != 0) give_up("sched_setaffinity");
}

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start)
{
	return std::chrono::duration<double>(Clock::now() - start).count();
}

/* Takes as many bytes as that, then sends so many. */
Task<void> echo(Job &job, Stream &stream, size_t in, size_t out)
{
	for (;;) {
		for (size_t left = in; left;) {
			CO_TRY_ASSIGN(Bytes const there, stream.peek());
			size_t const taken = std::min(left, there.size());
			stream.consume(taken);
			left -= taken;
			if (!left) break;
			CO_TRY_ASSIGN(size_t const size, co_await stream.wait_for_data(job));
			if (!size) co_return Ok{};
		}
		auto const room = stream.reserve(out);
		if (room[0].size() + room[1].size() < out) co_return Error::IO;
		stream.commit(out);
	}
}

Task<void> fill(Job &job, vfs::Tree &tree)
{
	Credentials const root{};
	CO_TRY_ASSIGN(auto ram, co_await tree.resolve(job, root, "/ram"));
	CO_TRY_ASSIGN(auto node, co_await ram->create(job, root, "file", {}));
	CO_TRY_ASSIGN(auto file, co_await node->open(job, root, {.read = true, .write = true}));
	std::vector<uint8_t> const bytes(FILE_BYTES, 'x');
	CO_TRY(co_await file->write(job, bytes, {}));
	co_return co_await file->close(job);
}

[[noreturn]] void serve(linux_host::Channel_end end, bool files)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	linux_host::Loop loop;
	Served_tree tree(loop.executor());
	Job_with_arena<16 * 1024> job(loop.executor());
	if (!sync_wait(job, fill(job, tree.tree), loop).ok()) _exit(1);
	job.spin = vchan::Spin::MOST;
	Channel_stream stream(loop);
	if (!stream.adopt(std::move(end))) _exit(1);
	if (files) {
		Server server(loop.executor(), tree.root(), "bench");
		(void)sync_wait(job, server.serve(job, stream), loop);
	} else
		(void)sync_wait(job, echo(job, stream, REQUEST, ANSWER), loop);
	_exit(0);
}

/* A server in another process, and our end of the channel to it. */
struct Peer
{
	Channel_stream stream;
	pid_t process;

	Peer(linux_host::Loop &loop, bool files) : stream(loop)
	{
		auto channel = linux_host::make_channel(RINGS);
		if (!channel.ok()) give_up("make_channel");
		process = fork();
		if (process == 0) serve(std::move(channel.value().server), files);
		channel.value().server = {};
		if (!stream.adopt(std::move(channel.value().client))) give_up("adopt");
	}
	~Peer()
	{
		kill(process, SIGKILL);
		waitpid(process, nullptr, 0);
	}
};

Task<size_t> round_trips(Job &job, Stream &stream, double seconds)
{
	auto const start = Clock::now();
	size_t trips = 0;
	do {
		for (unsigned i = 0; i < 64; ++i, ++trips) {
			auto const room = stream.reserve(REQUEST);
			if (room[0].size() + room[1].size() < REQUEST) co_return Error::IO;
			stream.commit(REQUEST);
			for (size_t left = ANSWER; left;) {
				CO_TRY_ASSIGN(Bytes const there, stream.peek());
				size_t const taken = std::min(left, there.size());
				stream.consume(taken);
				left -= taken;
				if (left) CO_TRY(co_await stream.wait_for_data(job));
			}
		}
	} while (since(start) < seconds);
	co_return trips;
}

/* Reads again and again until the time is over. */
Task<void> read_on(Job &job, Client &client, Remote_file file, Mutable_bytes to,
	Clock::time_point start, double seconds, size_t &reads)
{
	uint64_t offset = 0;
	do {
		for (unsigned i = 0; i < 64; ++i, ++reads) {
			CO_TRY_ASSIGN(size_t const size, co_await client.read(job, file, to, offset));
			if (size != to.size()) co_return Error::IO;
			offset = (offset + size) % FILE_BYTES;
		}
	} while (since(start) < seconds);
	co_return Ok{};
}

class Reader
{
private:
	linux_host::Loop &_loop;
	Client _client;
	Running _answers;
	Running _main;
	std::vector<std::unique_ptr<Running>> _readers{};
	Remote_file _file{};

	static Task<void> _open(Job &job, Client &client, Remote_file &file)
	{
		CO_TRY(co_await client.ready(job));
		CO_TRY_ASSIGN(file, co_await client.open(job, "ram/file", {}));
		co_return Ok{};
	}

	void _run(Running const &running)
	{
		Executor &executor = _loop.executor();
		while (executor.run_ready(), !running.done()) {
			_loop.poll(executor.ready() ? 0 : executor.next_deadline_us());
			executor.expire();
		}
		if (!running.result().ok()) {
			fprintf(stderr, "remote_bench: %s\n", name_of(running.result().error()).data());
			exit(1);
		}
	}

public:
	Reader(linux_host::Loop &loop, Stream &stream)
		: _loop(loop),
		  _client(loop.executor(), stream),
		  _answers(loop.executor()),
		  _main(loop.executor())
	{
		_answers.start(_client.run(_answers.job()));
		_main.start(_open(_main.job(), _client, _file));
		_run(_main);
	}

	/* Reads per second. */
	double measure(size_t size, size_t depth, double seconds)
	{
		std::vector<std::vector<uint8_t>> buffers(depth, std::vector<uint8_t>(size));
		size_t reads = 0;
		auto const start = Clock::now();
		_readers.clear();
		for (size_t i = 0; i < depth; ++i) {
			_readers.push_back(std::make_unique<Running>(_loop.executor()));
			Job &job = _readers.back()->job();
			_readers.back()->start(read_on(job, _client, _file, buffers[i], start, seconds, reads));
		}
		for (auto const &reader : _readers) _run(*reader);
		return static_cast<double>(reads) / since(start);
	}
};

double copies(double seconds)
{
	static std::vector<uint8_t> from(FILE_BYTES, 'x'), to(LARGE);
	auto const start = Clock::now();
	size_t count = 0;
	do {
		for (unsigned i = 0; i < 64; ++i, ++count) {
			memcpy(to.data(), from.data() + count * LARGE % FILE_BYTES, LARGE);
			asm volatile("" : : "r"(to.data()) : "memory");
		}
	} while (since(start) < seconds);
	return static_cast<double>(count) / since(start);
}

double median(std::vector<double> values)
{
	std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
	return values[values.size() / 2];
}

} // namespace

int main(int count, char **arguments)
{
	double const seconds = count > 1 ? atof(arguments[1]) : 0.1;
	linux_host::Loop loop;
	Peer bare(loop, false), files(loop, true);
	Job_with_arena<16 * 1024> job(loop.executor());
	job.spin = vchan::Spin::MOST;
	pin(0, 0);
	Reader reader(loop, files.stream);
	for (int const cpu : std::array{1, 0}) {
		pin(bare.process, cpu);
		pin(files.process, cpu);
		std::vector<double> trips, one, many, large, memory;
		for (unsigned i = 0; i < ROUNDS; ++i) {
			auto const result = sync_wait(job, round_trips(job, bare.stream, seconds), loop);
			if (!result.ok()) give_up("round trips");
			trips.push_back(static_cast<double>(result.value()) / seconds);
			one.push_back(reader.measure(SMALL, 1, seconds));
			many.push_back(reader.measure(SMALL, DEPTH, seconds));
			large.push_back(reader.measure(LARGE, LARGE_DEPTH, seconds));
			memory.push_back(copies(seconds));
		}
		char const *const where = cpu ? "two CPUs" : "one CPU";
		printf("file over a channel, %s: round trip of the channel %.2f us; read of 64 B %.2f us, "
			   "ratio %.2f (aim: at most 3)\n",
			where, 1e6 / median(trips), 1e6 / median(one), median(trips) / median(one));
		printf("file over a channel, %s: reads of 64 B, %zu at a time: %.0f/s (aim: 500000)\n",
			where, DEPTH, median(many));
		// On one CPU the copies of both sides, each a memcpy, come one after the other.
		printf("file over a channel, %s: reads of 64 KiB, %zu at a time: %.2f GB/s, memcpy %.2f "
			   "GB/s, ratio %.2f%s\n",
			where, LARGE_DEPTH, median(large) * LARGE * 1e-9, median(memory) * LARGE * 1e-9,
			median(large) / median(memory), cpu ? " (aim: 0.30)" : "");
		fflush(stdout);
	}
}
