#include "base/sync_wait.h"
#include "component/echo/bench/systems.h"
#include "platform/linux/vchan/sealed_memory.h"
#include "sdk/qrexec/loop_channel.h"
#include "vchan/endpoint.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::echo {
namespace {

using linux_host::Bell;
using linux_host::Channel_end;
using linux_host::Loop;
using qrexec::Loop_channel;
using qrexec::Side;

constexpr uint32_t RING = 64 * 1024;
constexpr size_t SIZE = 64;
using Message = std::array<uint8_t, SIZE>;

/* One end of a bare channel, with its bell in a loop. */
class Bare_end final : public Loop::Source
{
private:
	linux_host::Sealed_memory _memory;
	Bell _bell;
	vchan::Endpoint _end;

	void ready(uint32_t events) override
	{
		_end.rung();
		if (Bell::ended(events)) _end.peer_died();
	}

public:
	Bare_end(Loop &loop, Channel_end end)
		: _memory(std::move(linux_host::Sealed_memory::map(end.memory.value()).value())),
		  _bell(std::move(end.bell)),
		  _end(vchan::attach(_memory.bytes(), end.generation, end.role).value(), _bell)
	{
		if (!loop.add(*this, _bell.in(), Bell::events()).ok()) std::abort();
	}

	Task<size_t> take(Job &job, Message &message)
	{
		auto const taken = co_await _end.receive(job, message);
		if (!taken.ok()) co_return Error::BROKEN_PIPE;
		co_return taken.value();
	}

	Task<size_t> give(Job &job, Message const &message)
	{
		auto const given = co_await _end.write_all(job, message);
		if (!given.ok()) co_return Error::BROKEN_PIPE;
		co_return given.value();
	}
};

/* The same of a call. */
class Call_end
{
private:
	Loop_channel _channel;

public:
	Call_end(Loop &loop, Channel_end end) : _channel(loop)
	{
		Side const side = end.role == vchan::Role::SERVER ? Side::CALLER : Side::SERVICE;
		if (!_channel.adopt(std::move(end), side).ok()) std::abort();
	}

	Task<size_t> take(Job &job, Message &message) { return _channel.read(job, message); }
	Task<size_t> give(Job &job, Message const &message) { return _channel.write(job, message); }
};

template <typename END>
Task<size_t> answer(Job &job, END &end)
{
	Message message{};
	while (true) {
		CO_TRY(co_await end.take(job, message));
		CO_TRY(co_await end.give(job, message));
	}
}

template <typename END>
Task<size_t> ask(Job &job, END &end, size_t count)
{
	Message message{};
	for (size_t i = 0; i < count; ++i) {
		CO_TRY(co_await end.give(job, message));
		CO_TRY(co_await end.take(job, message));
	}
	co_return count;
}

template <typename END>
double measure(Placement placement, size_t count)
{
	auto pair = linux_host::make_channel({RING, RING});
	if (!pair.ok()) std::abort();
	pid_t const process = fork();
	if (process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(placement, 1);
		pair.value().server = {};
		Loop loop;
		END end(loop, std::move(pair.value().client));
		Job_with_arena<8192> job(loop.executor());
		job.spin = vchan::Spin::MOST;
		static_cast<void>(sync_wait(job, answer(job, end), loop));
		_exit(0);
	}
	pair.value().client = {};
	pin(placement, 0);
	double us = 0;
	{
		Loop loop;
		END end(loop, std::move(pair.value().server));
		Job_with_arena<8192> job(loop.executor());
		job.spin = vchan::Spin::MOST;
		static_cast<void>(sync_wait(job, ask(job, end, count / 4), loop));
		uint64_t const begin = loop.clock().now_us();
		if (!sync_wait(job, ask(job, end, count), loop).ok()) std::abort();
		us = static_cast<double>(loop.clock().now_us() - begin) / static_cast<double>(count);
	}
	waitpid(process, nullptr, 0);
	return us;
}

} // namespace

double bare_round_trip_us(Placement placement, size_t count)
{
	return measure<Bare_end>(placement, count);
}

double call_round_trip_us(Placement placement, size_t count)
{
	return measure<Call_end>(placement, count);
}

} // namespace bulkhead::echo
