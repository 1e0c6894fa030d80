#include "component/qrexec/bench/callers.h"

#include "sdk/libvchan/bench/measure.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <poll.h>
#include <sys/epoll.h>
#include <vector>

namespace bulkhead::bench {
namespace {

using qrexec::Call;
using qrexec::Data_channel;
using qrexec::Stream;
using qrexec::Wanted_call;
using Kind = Data_channel::Kind;

constexpr char QUESTION[] = "a question";
constexpr size_t CHUNK = 65536;

[[noreturn]] void failed(Call const &call)
{
	errno = call.error_number();
	give_up("a call: " + call.message() + ", exit code " + std::to_string(call.exit_code()));
}

void wait_for(int fd)
{
	pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
	if (poll(&watched, 1, -1) != 1) give_up("poll");
}

/* What comes next; if that is nothing, the call is armed to tell of the next. */
Data_channel::Incoming next_of(Call &call)
{
	auto const next = call.peek();
	if (next.kind != Kind::NOTHING || call.state() != Call::State::OPEN) return next;
	call.arm(true, false);
	return call.peek();
}

/* One of several calls at a time. */
class Asker
{
private:
	Call _call{};
	bool const _silent;
	bool _asked = false;
	size_t _answered = 0;

	void _ask()
	{
		_asked = true;
		Data_channel &channel = _call.channel();
		Bytes const question(reinterpret_cast<uint8_t const *>(QUESTION), sizeof(QUESTION));
		bool const sent = _silent || channel.send(Stream::IN, question) == question.size();
		if (!sent) give_up("a question doesn't fit");
		// False of a service that has all it wanted, and is gone already.
		(void)channel.send_end(Stream::IN);
	}

	bool _over() const
	{
		bool const ended = _call.state() == Call::State::ENDED;
		if (!ended || _call.exit_code() != 0 || _answered != (_silent ? 0 : sizeof(QUESTION)))
			failed(_call);
		return true;
	}

public:
	Asker(Wanted_call const &wanted, bool silent) : _silent(silent) { _call.start(wanted); }

	int fd() const { return _call.fd(); }

	/* True once it has ended. */
	bool look()
	{
		Call::State const state = _call.look();
		if (state == Call::State::ASKING || state == Call::State::CONNECTING) return false;
		if (state == Call::State::OPEN && !_asked) _ask();
		while (true) {
			auto const next = next_of(_call);
			if (next.kind == Kind::NOTHING) break;
			bool const good = next.bytes.size() <= sizeof(QUESTION) - _answered &&
				memcmp(next.bytes.data(), QUESTION + _answered, next.bytes.size()) == 0;
			if (!good) give_up("an answer is wrong");
			_answered += next.bytes.size();
			_call.consume(next.bytes.size());
		}
		return _call.state() != Call::State::OPEN && _over();
	}
};

void one_by_one(Wanted_call const &wanted, unsigned count, bool silent)
{
	for (unsigned i = 0; i < count; ++i) {
		Asker asker(wanted, silent);
		do wait_for(asker.fd());
		while (!asker.look());
	}
}

void together(Wanted_call const &wanted, unsigned count, unsigned at_once, bool silent)
{
	linux_host::Owned_fd const epoll(epoll_create1(EPOLL_CLOEXEC));
	std::vector<std::unique_ptr<Asker>> askers(std::min(count, at_once));
	auto const begin = [&](size_t place) {
		askers[place] = std::make_unique<Asker>(wanted, silent);
		epoll_event event{};
		event.events = EPOLLIN;
		event.data.u64 = place;
		if (epoll_ctl(epoll.value(), EPOLL_CTL_ADD, askers[place]->fd(), &event) != 0)
			give_up("epoll_ctl");
	};
	for (size_t i = 0; i < askers.size(); ++i) begin(i);
	unsigned begun = static_cast<unsigned>(askers.size());
	for (unsigned ended = 0; ended < count;) {
		epoll_event events[64];
		int const n = epoll_wait(epoll.value(), events, 64, -1);
		for (int i = 0; i < n; ++i) {
			size_t const place = events[i].data.u64;
			if (!askers[place]->look()) continue;
			++ended;
			askers[place].reset();
			if (begun < count) ++begun, begin(place);
		}
	}
}

void open(Call &call, Wanted_call const &wanted)
{
	call.start(wanted);
	while (call.look() != Call::State::OPEN) {
		if (call.state() != Call::State::ASKING && call.state() != Call::State::CONNECTING)
			failed(call);
		wait_for(call.fd());
	}
}

/* To the end, which has to be a good one; how many bytes have come. */
uint64_t read_all(Call &call)
{
	uint64_t got = 0;
	while (call.state() == Call::State::OPEN) {
		auto const next = next_of(call);
		if (next.kind == Kind::NOTHING && call.state() == Call::State::OPEN) {
			wait_for(call.fd());
			call.look();
		}
		got += next.bytes.size();
		call.consume(next.bytes.size());
	}
	if (call.state() != Call::State::ENDED || call.exit_code() != 0) failed(call);
	return got;
}

} // namespace

double make_calls(Wanted_call const &wanted, unsigned count, unsigned at_once, bool silent)
{
	double const begin = now_s();
	if (at_once == 1)
		one_by_one(wanted, count, silent);
	else
		together(wanted, count, at_once, silent);
	return now_s() - begin;
}

double pour_into_call(Wanted_call const &wanted, uint64_t bytes)
{
	std::vector<uint8_t> const chunk(CHUNK, 1);
	double const begin = now_s();
	Call call;
	open(call, wanted);
	for (uint64_t left = bytes; left && call.state() == Call::State::OPEN;) {
		size_t const size = std::min<uint64_t>(left, chunk.size());
		size_t sent = call.channel().send(Stream::IN, Bytes(chunk).first(size));
		if (sent == 0) {
			call.arm(true, true);
			sent = call.channel().send(Stream::IN, Bytes(chunk).first(size));
		}
		if (sent == 0) {
			wait_for(call.fd());
			call.look();
		}
		left -= sent;
	}
	while (call.state() == Call::State::OPEN && !call.channel().send_end(Stream::IN)) {
		call.arm(true, true);
		if (call.channel().send_end(Stream::IN)) break;
		wait_for(call.fd());
		call.look();
	}
	(void)read_all(call);
	return now_s() - begin;
}

double drain_call(Wanted_call const &wanted, uint64_t bytes)
{
	double const begin = now_s();
	Call call;
	open(call, wanted);
	if (!call.channel().send_end(Stream::IN)) give_up("the end of the input doesn't fit");
	if (read_all(call) != bytes) give_up("bytes are missing");
	return now_s() - begin;
}

} // namespace bulkhead::bench
