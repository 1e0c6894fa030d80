#include "platform/linux/vchan/sealed_memory.h"
#include "sdk/component/env.h"
#include "sdk/component/inherited.h"
#include "sdk/component/test/fake_broker.h"
#include "vchan/endpoint.h"

#include <gtest/gtest.h>

namespace bulkhead::component {
namespace {

using linux_host::Loop;
using qrexec::Loop_channel;

/* Copies what it gets; says who has called. */
class Echo final : public Service
{
public:
	unsigned calls = 0;
	std::string last{};

	Task<int> serve(Job &job, Incoming_call const &call) override
	{
		++calls;
		last = std::string(call.service) + "|" + std::string(call.argument) + "|" +
			std::string(call.caller);
		return _copy(job, call);
	}

private:
	static Task<int> _copy(Job &job, Incoming_call const &call)
	{
		std::array<uint8_t, 512> buffer;
		while (true) {
			CO_TRY_ASSIGN(size_t const n, co_await call.channel.read(job, buffer));
			if (n == 0) break;
			CO_TRY(co_await call.channel.write(job, std::span(buffer).first(n)));
		}
		co_return 5;
	}
};

struct Answer
{
	std::optional<Error> error{};
	std::string text{};
	int code = -1;
	bool done = false;
};

/* One domain serves, one calls, and the broker is between them. */
class Env_test : public testing::Test
{
protected:
	Loop _loop{};
	Fake_broker _broker{_loop};
	Env _work{_loop};
	Env _vault{_loop};
	Echo _echo{};
	Job_with_arena<16384> _job{_loop.executor()};
	Root _root{};
	Answer _answer{};

	Env_test()
	{
		EXPECT_TRUE(_vault.start(_broker.add("vault"), "vault"));
		EXPECT_TRUE(_work.start(_broker.add("work"), "work", "some text"));
		_vault.serve("test.Echo", _echo);
	}

	static Task<size_t> _ask(Job &job, Env &env, std::string_view target, std::string_view service,
		std::string_view text, Answer &answer)
	{
		Loop_channel channel(env.loop());
		CO_TRY(co_await env.call(job, target, service, channel));
		// A service may end before it has read all; then its answer counts.
		auto const written = co_await channel.write(job, bytes_of(text));
		if (written.ok()) static_cast<void>(co_await channel.finish(job));
		std::array<uint8_t, 100> buffer;
		while (true) {
			CO_TRY_ASSIGN(size_t const n, co_await channel.read(job, buffer));
			if (n == 0) break;
			answer.text += text_of(std::span(buffer).first(n));
		}
		CO_TRY_ASSIGN(int const code, co_await channel.exit_code(job));
		answer.code = code;
		co_return size_t{0};
	}

	static Root _run(Job &job, Env &env, std::string_view target, std::string_view service,
		std::string_view text, Answer &answer)
	{
		auto const asked = co_await _ask(job, env, target, service, text, answer);
		if (!asked.ok()) answer.error = asked.error();
		answer.done = true;
	}

	static Root finish(Job &job, Loop_channel &channel, std::optional<int> &code)
	{
		static_cast<void>(co_await channel.finish(job));
		auto const said = co_await channel.exit_code(job);
		if (said.ok()) code = said.value();
	}

	void ask(std::string_view target, std::string_view service, std::string_view text)
	{
		_answer = {};
		_root = _run(_job, _work, target, service, text, _answer);
		EXPECT_TRUE(_root.start(_job).ok());
	}

	/* Both domains run in one loop: neither of their `run`s does. */
	template <typename DONE>
	void until(DONE done)
	{
		while (!done()) {
			_loop.executor().run_ready();
			if (done()) break;
			_loop.poll(_loop.executor().ready() ? 0 : _loop.executor().next_deadline_us());
			_loop.executor().expire();
		}
	}

	void begin()
	{
		_loop.stop();
		EXPECT_EQ(_vault.run(), 0);
		_loop.stop();
		EXPECT_EQ(_work.run(), 0);
	}
};

TEST_F(Env_test, a_call_goes_to_the_service_and_brings_its_exit_code)
{
	begin();
	ask("vault", "test.Echo+key", "hello");
	until([&] { return _answer.done; });
	EXPECT_FALSE(_answer.error) << name_of(*_answer.error);
	EXPECT_EQ(_answer.text, "hello");
	EXPECT_EQ(_answer.code, 5);
	EXPECT_EQ(_echo.last, "test.Echo|key|work");
	until([&] { return _broker.calls().empty(); }); // both sides have said that it is over
}

TEST_F(Env_test, knows_what_it_was_given)
{
	EXPECT_EQ(_work.name(), "work");
	EXPECT_EQ(_work.config(), "some text");
	auto pair = linux_host::Gate::make_pair();
	int const number = pair.value().first.value();
	_work.give("device:wire", std::move(pair.value().first));
	auto const device = _work.device("wire");
	ASSERT_TRUE(device.ok());
	EXPECT_EQ(device.value().value(), number);
	EXPECT_EQ(_work.device("wire").error(), Error::NOT_FOUND);
	EXPECT_EQ(_work.fuse_mount(0).error(), Error::NOT_FOUND);
}

TEST_F(Env_test, a_refusal_is_denied)
{
	begin();
	_broker.refuse = [](auto, auto, auto) { return true; };
	ask("vault", "test.Echo", "x");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.error, Error::DENIED);
	EXPECT_EQ(_echo.calls, 0U);
}

TEST_F(Env_test, a_name_that_cannot_be_is_invalid)
{
	begin();
	ask("vault", "+x", "");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.error, Error::INVALID);
	std::string const long_name(64, 'a');
	ask(long_name, "test.Echo", "");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.error, Error::INVALID);
}

TEST_F(Env_test, who_calls_what_nobody_serves_is_told_so)
{
	begin();
	ask("vault", "test.Other", "x");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.code, qrexec::EXIT_NO_SERVICE);
}

TEST_F(Env_test, what_a_service_says_at_once_goes_along_with_the_greeting)
{
	begin();
	auto end = _broker.call("other", "vault", "test.Nothing");
	ASSERT_TRUE(end.ok());
	auto const memory = linux_host::Sealed_memory::map(end.value().memory.value());
	ASSERT_TRUE(memory.ok());
	auto const attached =
		vchan::attach(memory.value().bytes(), end.value().generation, end.value().role);
	ASSERT_TRUE(attached.ok());
	vchan::Endpoint caller(attached.value(), end.value().bell);
	auto const there = [&] {
		auto const view = caller.peek();
		return view.ok() ? view.value().size() : 0;
	};
	while (there() == 0)
		if (!_loop.executor().run_one()) _loop.poll(NEVER_US);
	size_t const first = there();
	until([&] { return _broker.calls().empty(); });
	EXPECT_EQ(there(), first);
}

TEST_F(Env_test, a_star_serves_what_nobody_else_does)
{
	Echo other;
	_vault.serve("*", other);
	begin();
	ask("vault", "test.Other", "x");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.text, "x");
	EXPECT_EQ(other.calls, 1U);
	EXPECT_EQ(_echo.calls, 0U);
}

TEST_F(Env_test, calls_wait_until_the_component_runs)
{
	ask("vault", "test.Echo", "early");
	_loop.executor().run_ready();
	_loop.poll(0);
	EXPECT_EQ(_broker.greetings("work"), 0U);
	begin();
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.text, "early");
}

TEST_F(Env_test, a_broker_that_takes_over_is_greeted_and_asked_again)
{
	begin();
	_broker.deaf = true;
	ask("vault", "test.Echo", "patience");
	until([&] { return _broker.greetings("work") == 1; });
	for (int i = 0; i < 10; ++i) {
		_loop.executor().run_ready();
		_loop.poll(0);
	}
	EXPECT_FALSE(_answer.done);
	_broker.deaf = false;
	_broker.greet("work");
	until([&] { return _answer.done; });
	EXPECT_EQ(_broker.greetings("work"), 2U);
	EXPECT_EQ(_answer.text, "patience");
}

TEST_F(Env_test, an_answer_that_nobody_waits_for_any_more_is_given_back)
{
	begin();
	ask("vault", "test.Echo", "x");
	until([&] { return _broker.calls().size() == 1; });
	_job.cancel();
	until([&] { return _answer.done && _broker.calls().empty(); });
	EXPECT_EQ(_answer.error, Error::CANCELLED);
}

TEST_F(Env_test, the_end_of_the_gate_ends_what_waits)
{
	begin();
	_broker.deaf = true;
	ask("vault", "test.Echo", "x");
	until([&] { return _broker.greetings("work") == 1; });
	_broker.close("work");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.error, Error::BROKEN_PIPE);
	ask("vault", "test.Echo", "x");
	until([&] { return _answer.done; });
	EXPECT_EQ(_answer.error, Error::BROKEN_PIPE);
	EXPECT_EQ(_work.run(), 0);
}

TEST_F(Env_test, a_caller_that_has_gone_ends_the_service)
{
	begin();
	until([&] { return _broker.greetings("vault") == 1; });
	auto end = _broker.call("web", "vault", "test.Echo");
	ASSERT_TRUE(end.ok());
	until([&] { return _echo.calls == 1; });
	EXPECT_EQ(_broker.calls().size(), 1U);
	end.value() = {};
	until([&] { return _broker.calls().empty(); });
}

TEST_F(Env_test, serves_no_more_than_its_limit_at_a_time)
{
	Env small(_loop, {.calls = 2, .of_a_caller = 2, .waiting = 1});
	Echo echo;
	small.serve("test.Echo", echo);
	ASSERT_TRUE(small.start(_broker.add("small"), "small"));
	_loop.stop();
	EXPECT_EQ(small.run(), 0);
	std::vector<linux_host::Channel_end> ends;
	for (int i = 0; i < 4; ++i)
		ends.push_back(std::move(_broker.call("web", "small", "test.Echo").value()));
	until([&] { return _broker.calls().size() == 3; }); // the last one was ended
	EXPECT_EQ(echo.calls, 2U);
	ends[0] = {};
	until([&] { return echo.calls == 3; });
	ends.clear();
	until([&] { return _broker.calls().empty(); });
}

TEST_F(Env_test, no_caller_keeps_others_from_being_served)
{
	Env fair(_loop, {.calls = 4, .of_a_caller = 2, .waiting = 4});
	Echo echo;
	fair.serve("test.Echo", echo);
	ASSERT_TRUE(fair.start(_broker.add("fair"), "fair"));
	_loop.stop();
	EXPECT_EQ(fair.run(), 0);
	std::vector<linux_host::Channel_end> ends;
	for (int i = 0; i < 6; ++i)
		ends.push_back(std::move(_broker.call("work", "fair", "test.Echo").value()));
	// Two are served and one waits; then another caller comes.
	auto other = _broker.call("vault", "fair", "test.Echo");
	until([&] { return echo.calls == 3; });
	EXPECT_EQ(echo.last, "test.Echo||vault");
	ends.clear();
	until([&] { return echo.calls == 4; });
}

TEST_F(Env_test, more_wishes_than_the_gate_holds_are_sent_later)
{
	begin();
	_broker.refuse = [](auto, auto, auto) { return true; };
	unsigned denied = 0;
	for (int i = 0; i < 3000; ++i)
		_work.call("vault", "test.Echo", [&](Env::Given_end end) {
			denied += !end.end.ok() && end.end.error() == Error::DENIED;
		});
	until([&] { return denied == 3000; });
}

TEST_F(Env_test, what_is_being_served_may_end_after_the_gate)
{
	begin();
	until([&] { return _broker.greetings("vault") == 1; });
	Loop_channel channel(_loop);
	ASSERT_TRUE(channel
			.adopt(
				std::move(_broker.call("web", "vault", "test.Echo").value()), qrexec::Side::CALLER)
			.ok());
	until([&] { return _echo.calls == 1; });
	_broker.close("vault");
	std::optional<int> code;
	Root root = finish(_job, channel, code);
	ASSERT_TRUE(root.start(_job).ok());
	EXPECT_EQ(_vault.run(), 0); // returns when the call has ended
	until([&] { return code.has_value(); });
	EXPECT_EQ(code, 5);
}

TEST_F(Env_test, what_never_ends_is_ended_some_time_after_the_gate)
{
	Env hasty(_loop, {.grace_us = 1000});
	hasty.serve("test.Echo", _echo);
	ASSERT_TRUE(hasty.start(_broker.add("hasty"), "hasty"));
	_loop.stop();
	EXPECT_EQ(hasty.run(), 0);
	auto const end = _broker.call("web", "hasty", "test.Echo");
	until([&] { return _echo.calls == 1; });
	_broker.close("hasty");
	EXPECT_EQ(hasty.run(), 0);
}

TEST_F(Env_test, ends_can_be_passed_on)
{
	std::optional<Env::Given_call> given;
	_vault.serve("test.Given", [&](Env::Given_call call) { given = std::move(call); });
	begin();
	std::optional<Env::Given_end> end;
	_work.call("vault", "test.Given+1", [&](Env::Given_end got) { end = std::move(got); });
	until([&] { return given && end; });
	EXPECT_EQ(given->full_name, "test.Given+1");
	EXPECT_EQ(given->caller, "work");
	ASSERT_TRUE(end->end.ok());
	EXPECT_EQ(end->port, given->port);
	_work.ended(end->domain, end->port);
	_vault.ended(given->domain, given->port);
	until([&] { return _broker.calls().empty(); });
}

TEST(Inherited, names_with_two_parts_are_one)
{
	EXPECT_EQ(names_of_descriptors("gate:config:device:wire:fuse:0"),
		(std::vector<std::string>{"gate", "config", "device:wire", "fuse:0"}));
	EXPECT_TRUE(names_of_descriptors("").empty());
}

} // namespace
} // namespace bulkhead::component
