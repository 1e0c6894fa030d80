// What the loop costs over a plain blocking read: a client sends a byte and waits for the answer.
// Both are pinned to one CPU, as a wake-up across CPUs costs more than all that is compared here.

#include "platform/linux/loop.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace bulkhead;
using namespace bulkhead::linux_host;

static constexpr unsigned ROUND_TRIPS = 60'000;
static constexpr unsigned RUNS = 9;

static void pin()
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void send_byte(int fd)
{
	char const byte = 0;
	if (write(fd, &byte, 1) != 1) std::abort();
}

static void client(int fd)
{
	pin();
	char byte;
	for (unsigned n = 0; n < ROUND_TRIPS; n++) {
		send_byte(fd);
		if (read(fd, &byte, 1) != 1) std::abort();
	}
}

static void serve_plainly(int fd)
{
	char byte;
	for (unsigned n = 0; n < ROUND_TRIPS; n++) {
		if (read(fd, &byte, 1) != 1) std::abort();
		send_byte(fd);
	}
}

class Server final : public Loop::Source
{
private:
	Loop &_loop;
	bool const _blocking;
	ssize_t _received = 0;
	unsigned _served = 0;

public:
	Server(Loop &loop, int fd, bool blocking) : _loop(loop), _blocking(blocking)
	{
		auto const kind = blocking ? Loop::Kind::BLOCKING : Loop::Kind::NORMAL;
		if (!loop.add(*this, fd, EPOLLIN, kind).ok()) std::abort();
	}

	void receive() override
	{
		char byte;
		_received = read(fd(), &byte, 1);
	}

	void ready(uint32_t) override
	{
		if (!_blocking) receive();
		if (_received != 1) return;
		send_byte(fd());
		if (++_served == ROUND_TRIPS) _loop.stop();
	}
};

static void serve_in_loop(int fd, bool blocking)
{
	Loop loop;
	Server const server{loop, fd, blocking};
	loop.run();
}

static double ns_per_round_trip(unsigned variant)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0) std::abort();
	Monotonic_clock const clock;
	std::thread other(client, fds[1]);
	uint64_t const begin_us = clock.now_us();
	if (variant == 0)
		serve_plainly(fds[0]);
	else
		serve_in_loop(fds[0], variant == 2);
	uint64_t const end_us = clock.now_us();
	other.join();
	close(fds[0]);
	close(fds[1]);
	return 1000.0 * static_cast<double>(end_us - begin_us) / ROUND_TRIPS;
}

int main()
{
	pin();
	std::array<std::array<double, RUNS>, 3> ns{};
	for (unsigned run = 0; run < RUNS; run++)
		for (unsigned variant = 0; variant < 3; variant++)
			ns[variant][run] = ns_per_round_trip(variant);
	for (auto &runs : ns) std::ranges::sort(runs);
	double const plain = ns[0][RUNS / 2];
	char const *const names[] = {"read blocks", "loop, epoll", "loop, source blocks"};
	printf("round trip over a socket pair, one CPU, median of %u\n", RUNS);
	for (unsigned variant = 0; variant < 3; variant++) {
		double const median = ns[variant][RUNS / 2];
		printf("  %-20s %7.0f ns   %.3f\n", names[variant], median, plain / median);
	}
}
