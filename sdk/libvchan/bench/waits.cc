// Clients that come before their servers, one or a hundred at once in one process.

#include "platform/linux/vchan/name_watch.h"
#include "sdk/libvchan/bench/measure.h"
#include "sdk/libvchan/rendezvous.h"

#include <array>
#include <memory>
#include <sys/epoll.h>

namespace bulkhead::bench {
namespace {

using linux_host::Name_watch;
using linux_host::Owned_fd;
using sdk::Transport;

constexpr int SERVER = 1, CLIENT = 2; // domains
constexpr size_t RING = 4096;

std::unique_ptr<Transport> begin(
	char const *transport, std::string const &where, bool server, int port)
{
	int error = 0;
	std::string why;
	auto made = sdk::open_transport(transport,
		{.server = server,
			.own = server ? SERVER : CLIENT,
			.peer = server ? CLIENT : SERVER,
			.port = port,
			.read_bytes = RING,
			.write_bytes = RING,
			.directory = where},
		error, why);
	if (!made) give_up(why);
	return made;
}

/* The ends of many channels in one process, which an epoll watches. */
class Ends
{
private:
	Owned_fd _epoll{epoll_create1(EPOLL_CLOEXEC)};
	std::vector<std::unique_ptr<Transport>> _ends{};
	size_t _waiting = 0;

	void _note(uint32_t number)
	{
		Transport &end = *_ends[number];
		end.arm(vchan::sleep_for::PEER);
		if (end.state() == vchan::State::WAITING) return;
		--_waiting;
		(void)epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, end.fd(), nullptr);
	}

public:
	void add(std::unique_ptr<Transport> end)
	{
		auto const number = static_cast<uint32_t>(_ends.size());
		epoll_event event{.events = EPOLLIN, .data = {.u32 = number}};
		if (epoll_ctl(_epoll.value(), EPOLL_CTL_ADD, end->fd(), &event) != 0) give_up("epoll_ctl");
		_ends.push_back(std::move(end));
		++_waiting;
		_note(number);
	}

	void meet()
	{
		std::array<epoll_event, 64> events;
		while (_waiting > 0) {
			int const size = static_cast<int>(events.size());
			int const count = epoll_wait(_epoll.value(), events.data(), size, -1);
			for (int i = 0; i < count; ++i) {
				uint32_t const number = events[static_cast<size_t>(i)].data.u32;
				Transport &end = *_ends[number];
				if (end.look() != 0) give_up(end.message());
				_note(number);
			}
		}
	}
};

double serve(char const *transport, std::string const &where, uint64_t count)
{
	double const begun = process_time_s();
	Ends ends;
	for (uint64_t i = 0; i < count; ++i)
		ends.add(begin(transport, where, true, static_cast<int>(i)));
	ends.meet();
	return process_time_s() - begun;
}

struct Result
{
	double process_time_us; // of both sides, for each channel
	double elapsed_us;
};

Result wait_and_meet(
	char const *transport, std::string const &where, Peer &server, Placement placement, int count)
{
	double const begun = process_time_s(), then = now_s();
	double served = 0;
	{
		Ends ends;
		for (int i = 0; i < count; ++i) ends.add(begin(transport, where, false, i));
		server.begin({placement, 0, static_cast<uint64_t>(count), 0});
		ends.meet();
		served = server.end();
	}
	double const each_us = 1e6 / count;
	return {(process_time_s() - begun + served) * each_us, (now_s() - then) * each_us};
}

} // namespace

void waits(Options const &options, std::string const &directory)
{
	for (char const *const transport : {"shm", "socket"}) {
		Peer server([=] {
			return [=](Order const &order) { return serve(transport, directory, order.count); };
		});
		auto const kept = Name_watch::keep();
		for (Placement const placement : placements()) {
			title(std::string("clients that wait for their servers, ") + transport + ", " +
				name_of(placement) + ": process time of both for each");
			for (int const count : {1, 10, 100}) {
				std::vector<double> used, elapsed;
				for (unsigned round = 0; round < 3 * options.rounds(); ++round) {
					Result const result =
						wait_and_meet(transport, directory, server, placement, count);
					used.push_back(result.process_time_us);
					elapsed.push_back(result.elapsed_us);
				}
				figure(std::to_string(count) + " at once", in_us(median(used) / 1e6));
				figure("  passed meanwhile, for each", in_us(median(elapsed) / 1e6));
			}
		}
	}
}

} // namespace bulkhead::bench
