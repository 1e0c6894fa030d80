// Two sides that really run at the same time, as threads and as processes, and really block: each
// byte of long streams both ways is compared, and what is lost stays lost until the alarm. It needs
// nothing but a C++ library, so that it also runs where no test framework does, such as in an
// emulator of another architecture. Argument: how much more than usual it should do (1).

#include "vchan/explain/meaning.h"
#include "vchan/test/support.h"

#include <atomic>
#include <cstdio>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace bulkhead::vchan {
namespace {

using test::Byte_string;

constexpr unsigned HANG_S = 300;

[[noreturn]] void fail(char const *what)
{
	std::fprintf(stderr, "vchan_stress: %s\n", what);
	_exit(1);
}

/* A pipe keeps rings, and reading it blocks. */
class Pipe_bell final : public Doorbell
{
private:
	int _ends[2];
	unsigned long long _waits = 0;

public:
	Pipe_bell()
	{
		if (pipe(_ends) != 0 || fcntl(_ends[1], F_SETFL, O_NONBLOCK) != 0) fail("no pipe");
	}
	~Pipe_bell()
	{
		::close(_ends[0]);
		::close(_ends[1]);
	}

	// A full pipe is as good as one more byte.
	void ring() override
	{
		if (::write(_ends[1], "", 1) != 1 && errno != EAGAIN) fail("can't ring");
	}

	unsigned long long waits() const { return _waits; }

	void wait()
	{
		++_waits;
		char rings[64];
		if (::read(_ends[0], rings, sizeof rings) <= 0) fail("can't hear");
	}
};

/* What stands at a position of a stream; no period is a multiple of a ring's size. */
uint8_t byte_at(size_t position, unsigned stream)
{
	return static_cast<uint8_t>((position + stream * 77) * 2654435761U >> 23);
}

// One who waits for room for all of a message and one who waits for all of another must not wait
// for each other: both fit into the ring at once, up to the byte that one of them has anyway.
size_t at_once(size_t capacity) { return (capacity + 1) / 2; }

struct Side
{
	test::Manual_clock clock{};
	Executor executor{clock};
	Job_with_arena<8192> reader{executor};
	Job_with_arena<8192> writer{executor};
	Endpoint &end;
	unsigned const stream; // that we write; the peer writes the other
	size_t const bytes;
	Byte_string out;
	Byte_string in;

	Side(Endpoint &e, unsigned s, size_t n, unsigned spin)
		: end(e), stream(s), bytes(n), out(2 * e.out_capacity()), in(2 * e.in_capacity())
	{
		reader.spin = writer.spin = spin;
	}

	Task<size_t, Error> say(Job &job)
	{
		std::minstd_rand random{stream + 1};
		size_t const room = end.out_capacity();
		for (size_t said = 0; said < bytes;) {
			size_t const most = std::min(bytes - said, random() % 2 ? room : 2 * room);
			size_t n = 1 + random() % most;
			for (size_t i = 0; i < n; ++i) out[i] = byte_at(said + i, stream);
			Bytes const chunk = Bytes(out).first(n);
			unsigned const how = random() % 3;
			if (how == 0 || n > at_once(room)) {
				n = co_await may(co_await end.write_all(job, chunk));
			} else if (how == 1) {
				n = co_await may(co_await end.send(job, chunk));
			} else {
				co_await may(co_await end.wait_for_room(job, n));
				auto const view = co_await may(end.reserve(n));
				copy_bytes(view.first, chunk);
				copy_bytes(view.second, chunk.subspan(view.first.size()));
				end.commit_written(n);
			}
			said += n;
		}
		end.finish();
		co_return bytes;
	}

	void compare(Bytes got, size_t position) const
	{
		for (size_t i = 0; i < got.size(); ++i)
			if (got[i] != byte_at(position + i, !stream)) fail("a byte is wrong");
	}

	Task<size_t, Error> hear(Job &job)
	{
		std::minstd_rand random{stream + 3};
		for (size_t heard = 0;;) {
			size_t n = 1 + random() % in.size();
			unsigned const how = random() % 3;
			if (how == 0 || heard == bytes) {
				n = co_await may(co_await end.read(job, Mutable_bytes(in).first(n)));
				if (n == 0) co_return heard;
				compare(Bytes(in).first(n), heard);
			} else if (how == 1) {
				n = std::min({n, at_once(end.in_capacity()), bytes - heard});
				n = co_await may(co_await end.receive(job, Mutable_bytes(in).first(n)));
				compare(Bytes(in).first(n), heard);
			} else {
				co_await may(co_await end.wait_for_data(job, 1));
				auto const view = co_await may(end.peek(n));
				compare(view.first, heard);
				compare(view.second, heard + view.first.size());
				n = 1 + random() % view.size();
				end.commit_read(n);
			}
			heard += n;
		}
	}

	void run(Pipe_bell &bell)
	{
		bool const writes = end.out_capacity() != 0, reads = end.in_capacity() != 0;
		Attempt<size_t, Error> said{bytes}, heard{bytes};
		Root saying, hearing;
		auto speech = writes ? say(writer) : Task<size_t, Error>{bytes};
		auto audience = reads ? hear(reader) : Task<size_t, Error>{bytes};
		saying = run_into(writer, speech, said);
		hearing = run_into(reader, audience, heard);
		if (!saying.start(writer).ok() || !hearing.start(reader).ok()) fail("out of frames");
		while (executor.run_ready(), !saying.done() || !hearing.done()) {
			if (executor.ready()) continue;
			bell.wait();
			end.rung();
		}
		if (!said.ok() || !heard.ok())
			fail(name_of(said.ok() ? heard.error() : said.error()).data());
		if (said.value() != bytes || heard.value() != bytes) fail("bytes are missing");
	}
};

struct Case
{
	Sizes sizes;
	size_t bytes; // each way
	unsigned spin;
	bool processes;
};

void run_client(std::span<std::byte> region, Case const &c, Pipe_bell &ours, Pipe_bell &theirs)
{
	auto const view = attach(region, 1);
	if (!view.ok()) fail("can't attach");
	Endpoint end{view.value(), theirs};
	Side{end, 1, c.bytes, c.spin}.run(ours);
}

void run_server(Attachment const &view, Case const &c, Pipe_bell &ours, Pipe_bell &theirs)
{
	Endpoint end{view, theirs};
	Side{end, 0, c.bytes, c.spin}.run(ours);
	std::printf("%8zu B both ways, rings of %u and %u, spin %u, %s: slept %llu, rang %llu times\n",
		c.bytes, c.sizes.to_client, c.sizes.to_server, c.spin,
		c.processes ? "processes" : "threads", ours.waits(),
		static_cast<unsigned long long>(end.rings()));
	std::fflush(stdout);
}

void run(Case const &c)
{
	alarm(HANG_S);
	size_t const size = region_bytes(c.sizes);
	void *const memory =
		mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) fail("no memory");
	std::span<std::byte> const region{static_cast<std::byte *>(memory), size};
	auto const view = test::serve(region, c.sizes, 1);
	if (!view.ok()) fail("can't format");
	Pipe_bell to_server, to_client;
	if (c.processes) {
		pid_t const child = fork();
		if (child < 0) fail("no process");
		if (child == 0) {
			alarm(HANG_S); // isn't inherited
			run_client(region, c, to_client, to_server);
			_exit(0);
		}
		run_server(view.value(), c, to_server, to_client);
		int status = 0;
		if (waitpid(child, &status, 0) != child || status != 0) fail("the other process failed");
	} else {
		std::thread other{[&] { run_client(region, c, to_client, to_server); }};
		run_server(view.value(), c, to_server, to_client);
		other.join();
	}
	munmap(memory, size);
}

} // namespace
} // namespace bulkhead::vchan

int main(int count, char **arguments)
{
	using namespace bulkhead::vchan;
	long const times = count > 1 ? std::strtol(arguments[1], nullptr, 10) : 1;
	if (count > 2 || times < 1 || times > 1'000'000) fail("give one number of 1 to 1000000");
	struct
	{
		Sizes sizes;
		size_t bytes;
	} const rings[] = {
		{{1, 1}, 5'000},
		{{2, 1}, 5'000},
		{{1, 0}, 5'000},
		{{0, 8}, 20'000},
		{{16, 8}, 20'000},
		{{256, 64}, 200'000},
		{{4096, 4096}, 2'000'000},
		{{64 << 10, 64 << 10}, 4'000'000},
	};
	for (bool const processes : {false, true})
		for (auto const &ring : rings)
			for (unsigned const spin : {0U, 1000U})
				run({ring.sizes, ring.bytes * static_cast<size_t>(times), spin, processes});
	return 0;
}
