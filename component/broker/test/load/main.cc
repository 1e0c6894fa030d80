// A domain of the reliability test: serves test.Echo, calls it at others all the time, and holds a
// lasting call to one of them. What it has seen it tells by test.Report:
// "ok N failed N wrong N pings N breaks N up N".
//
// Its configuration: the domains that it calls, a line each; the first is the one of the lasting
// call.

#include "sdk/component/env.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

using namespace bulkhead;
using namespace bulkhead::component;
using qrexec::Loop_channel;

namespace {

constexpr unsigned CALLERS = 2;
constexpr size_t FRAMES_BYTES = 16 * 1024;
constexpr size_t MESSAGE_BYTES = 3000;
constexpr uint64_t PAUSE_US = 2'000; // between calls, so that some processors do for all domains
constexpr uint64_t PAUSE_FAILED_US = 20'000;
// Longer than a machine that is busy needs for anything.
constexpr uint64_t CALL_WITHIN_US = 60'000'000;

struct Seen
{
	uint64_t ok = 0, failed = 0, wrong = 0, pings = 0, breaks = 0, up = 0;
};

class Echo final : public Service
{
public:
	Task<int> serve(Job &job, Incoming_call const &call) override
	{
		std::array<uint8_t, 512> buffer;
		while (true) {
			CO_TRY_ASSIGN(size_t const n, co_await call.channel.read(job, buffer));
			if (n == 0) co_return 0;
			CO_TRY(co_await call.channel.write(job, std::span(buffer).first(n)));
		}
	}
};

class Report final : public Service
{
private:
	Seen const &_seen;

public:
	explicit Report(Seen const &seen) : _seen(seen) {}

	Task<int> serve(Job &job, Incoming_call const &call) override
	{
		std::string text;
		auto const add = [&](char const *name, uint64_t value) {
			text += std::string(text.empty() ? "" : " ") + name + " " + std::to_string(value);
		};
		add("ok", _seen.ok);
		add("failed", _seen.failed);
		add("wrong", _seen.wrong);
		add("pings", _seen.pings);
		add("breaks", _seen.breaks);
		add("up", _seen.up);
		CO_TRY(co_await call.channel.write(job, bytes_of(text)));
		co_return 0;
	}
};

/* One job that calls. */
class Caller
{
private:
	Env &_env;
	Seen &_seen;
	std::vector<std::string> const &_targets;
	bool const _lasting;
	unsigned _turn;
	Job_with_arena<FRAMES_BYTES> _job;
	std::optional<Root> _root{};
	std::array<uint8_t, MESSAGE_BYTES> _message{};
	std::array<uint8_t, MESSAGE_BYTES> _answer{};

	uint64_t _later_us(uint64_t us) const
	{
		return deadline_after_us(_env.loop().clock().now_us(), us);
	}

	// Whether the answer is what was sent.
	Task<bool> _exchange(Job &job, Loop_channel &channel, size_t bytes)
	{
		uint64_t const until_us = _later_us(CALL_WITHIN_US);
		++_turn;
		for (size_t i = 0; i < bytes; ++i) _message[i] = static_cast<uint8_t>(_turn + i * 7);
		CO_TRY(co_await channel.write(job, std::span(_message).first(bytes), until_us));
		size_t got = 0;
		while (got < bytes) {
			auto const to = std::span(_answer).first(bytes).subspan(got);
			CO_TRY_ASSIGN(size_t const n, co_await channel.read(job, to, until_us));
			if (n == 0) co_return Failure{Error::BROKEN_PIPE};
			got += n;
		}
		co_return std::memcmp(_message.data(), _answer.data(), bytes) == 0;
	}

	Task<bool> _call(Job &job)
	{
		Loop_channel channel(_env.loop());
		std::string const &target = _targets[_turn % _targets.size()];
		uint64_t const until_us = _later_us(CALL_WITHIN_US);
		CO_TRY(co_await _env.call(job, target, "test.Echo", channel, until_us));
		CO_TRY_ASSIGN(bool const right, co_await _exchange(job, channel, MESSAGE_BYTES));
		CO_TRY(co_await channel.finish(job, until_us));
		CO_TRY_ASSIGN(int const code, co_await channel.exit_code(job, until_us));
		co_return right &&code == 0;
	}

	// Ends with the call.
	Task<bool> _hold(Job &job)
	{
		Loop_channel channel(_env.loop());
		uint64_t const until_us = _later_us(CALL_WITHIN_US);
		CO_TRY(co_await _env.call(job, _targets.front(), "test.Echo", channel, until_us));
		while (true) {
			auto const right = co_await _exchange(job, channel, 8);
			if (!right.ok()) {
				if (_seen.up) ++_seen.breaks;
				_seen.up = 0;
				co_return Failure{right.error()};
			}
			if (!right.value()) ++_seen.wrong;
			++_seen.pings;
			_seen.up = 1;
			(void)co_await sleep_us(job, PAUSE_US);
		}
	}

	Root _run(Job &job)
	{
		while (true) {
			++_turn;
			auto const called = _lasting ? co_await _hold(job) : co_await _call(job);
			if (called.ok() && !called.value()) ++_seen.wrong;
			if (!_lasting) ++(called.ok() ? _seen.ok : _seen.failed);
			(void)co_await sleep_us(job, called.ok() ? PAUSE_US : PAUSE_FAILED_US);
		}
	}

public:
	Caller(Env &env, Seen &seen, std::vector<std::string> const &targets, unsigned number)
		: _env(env),
		  _seen(seen),
		  _targets(targets),
		  _lasting(number == 0),
		  _turn(number),
		  _job(env.loop().executor())
	{}

	bool start()
	{
		_root.emplace(_run(_job));
		return _root->start(_job).ok();
	}
};

std::vector<std::string> lines(std::string_view text)
{
	std::vector<std::string> all;
	while (!text.empty()) {
		size_t const end = std::min(text.find('\n'), text.size());
		if (end) all.emplace_back(text.substr(0, end));
		text.remove_prefix(std::min(end + 1, text.size()));
	}
	return all;
}

} // namespace

int main()
{
	linux_host::Loop loop;
	Env env(loop);
	if (!env.start()) return env.fail();
	Seen seen;
	Echo echo;
	Report report(seen);
	env.serve("test.Echo", echo);
	env.serve("test.Report", report);
	std::vector<std::string> const targets = lines(env.config());
	std::deque<Caller> callers;
	for (unsigned i = 0; !targets.empty() && i <= CALLERS; ++i)
		if (!callers.emplace_back(env, seen, targets, i).start()) return 1;
	return env.run();
}
