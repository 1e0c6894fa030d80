#include "sdk/qrexec/loop_call.h"
#include "sdk/qrexec/test/support.h"

namespace bulkhead::qrexec {
namespace {

using namespace test;
using namespace std::string_literals;
using linux_host::Loop;

class Loop_call_test : public testing::TestWithParam<char const *>
{
protected:
	Place _place{};
	Fake_server _agent{_place.path() + "/agent"};
	Loop _loop{};
	alignas(16) std::byte _arenas[4][4096]{};
	Wanted_call const _wanted{.socket = _agent.path(),
		.target = "vault",
		.service = "test.Service",
		.transport = GetParam(),
		.directory = _place.vchans(),
		.own_domain = CALLER_DOMAIN};
	Owned_fd _link{};

	std::unique_ptr<Data_channel> _service()
	{
		_loop.executor().run_ready(); // a job that asks
		_link = _agent.accept();
		say(_link, params(SERVICE_DOMAIN, PORT));
		int error = 0;
		std::string why;
		auto transport = sdk::open_transport(GetParam(),
			{.server = false,
				.own = SERVICE_DOMAIN,
				.peer = CALLER_DOMAIN,
				.port = PORT,
				.directory = _place.vchans()},
			error, why);
		EXPECT_TRUE(transport) << why;
		return std::make_unique<Data_channel>(std::move(transport), Side::SERVICE);
	}

	// Runs jobs, and the other side, until it says so.
	void _run(std::function<bool()> const &done)
	{
		while (!done()) {
			_loop.executor().run_ready();
			_loop.executor().expire();
			_loop.poll(0);
		}
	}
};

Root call_all(Job &job, Loop_call &call, Wanted_call const &wanted, std::string &got, int &code)
{
	auto const started = co_await call.start(job, wanted);
	EXPECT_TRUE(started.ok()) << call.message();
	std::string const input = numbered(200'000);
	auto const written = co_await call.write(job, bytes_of(input));
	EXPECT_TRUE(written.ok());
	auto const finished = co_await call.finish_input(job);
	EXPECT_TRUE(finished.ok());
	uint8_t buffer[256];
	while (true) {
		auto const n = co_await call.read(job, Stream::OUT, buffer);
		EXPECT_TRUE(n.ok());
		if (!n.ok() || n.value() == 0) break;
		got += text_of(Bytes(buffer).first(n.value()));
	}
	auto const ended = co_await call.exit_code(job);
	code = ended.ok() ? ended.value() : -1;
}

Root read_errors(Job &job, Loop_call &call, size_t &got, bool &done)
{
	uint8_t buffer[500];
	while (true) {
		auto const n = co_await call.read(job, Stream::ERR, buffer);
		if (!n.ok() || n.value() == 0) break;
		got += n.value();
	}
	done = true;
}

TEST_P(Loop_call_test, runs_a_call_from_the_question_to_the_exit_code)
{
	Loop_call call(_loop);
	Job job(_loop.executor(), _arenas[0]), second(_loop.executor(), _arenas[1]);
	std::string got;
	int code = -2;
	Root root = call_all(job, call, _wanted, got, code);
	ASSERT_TRUE(root.start(job).ok());
	auto const service = _service();
	// A service that sends back what comes, and complains about all of it twice.
	std::string pending, complaints;
	bool input_ended = false, errors_done = false;
	size_t errors = 0;
	_run([&] {
		service->look();
		return call.state() == Call::State::OPEN;
	});
	Root reader = read_errors(second, call, errors, errors_done);
	ASSERT_TRUE(reader.start(second).ok());
	_run([&] {
		service->look();
		for (auto in = service->peek(); in.kind != Data_channel::Kind::NOTHING;
			in = service->peek()) {
			input_ended = input_ended || in.kind == Data_channel::Kind::END;
			pending += text_of(in.bytes);
			complaints.append(2 * in.bytes.size(), '!');
			service->consume(in.bytes.size());
		}
		complaints.erase(0, service->send(Stream::ERR, bytes_of(complaints)));
		if (complaints.empty()) pending.erase(0, service->send(Stream::OUT, bytes_of(pending)));
		if (input_ended && complaints.empty() && pending.empty() &&
			service->send_end(Stream::OUT) && service->send_end(Stream::ERR))
			service->send_exit_code(9);
		service->arm(true, true);
		return code != -2 && errors_done;
	});
	EXPECT_EQ(code, 9);
	EXPECT_EQ(got, numbered(200'000));
	EXPECT_EQ(errors, 400'000u);
}

Root start_only(Job &job, Loop_call &call, Wanted_call const &wanted, uint64_t until_us,
	std::optional<Error> &error)
{
	auto const started = co_await call.start(job, wanted, until_us);
	EXPECT_FALSE(started.ok());
	if (!started.ok()) error = started.error();
}

TEST_P(Loop_call_test, is_refused_cancelled_and_too_late)
{
	std::optional<Error> error;
	auto const run = [&](uint64_t until_us, std::function<void(Job &, Loop_call &)> const &then) {
		error.reset();
		Loop_call call(_loop);
		Job job(_loop.executor(), _arenas[0]);
		Root root = start_only(job, call, _wanted, until_us, error);
		EXPECT_TRUE(root.start(job).ok());
		_loop.executor().run_ready();
		then(job, call);
		_run([&] { return error.has_value(); });
		return *error;
	};
	EXPECT_EQ(run(NEVER_US, [&](Job &, Loop_call &) { _agent.accept().reset(); }), Error::DENIED);
	EXPECT_EQ(run(NEVER_US, [&](Job &job, Loop_call &) { job.cancel(); }), Error::CANCELLED);
	EXPECT_EQ(run(NEVER_US, [&](Job &, Loop_call &call) { call.cancel(); }), Error::CANCELLED);
	EXPECT_EQ(run(1, [](Job &, Loop_call &) {}), Error::TIMEOUT);
	auto wanted = _wanted;
	wanted.socket += ".none";
	Loop_call call(_loop);
	Job job(_loop.executor(), _arenas[0]);
	Root root = start_only(job, call, wanted, NEVER_US, error);
	ASSERT_TRUE(root.start(job).ok());
	_loop.executor().run_ready();
	EXPECT_EQ(error, Error::NOT_FOUND);
}

Root serve(Job &job, Service_listener &listener, std::vector<std::string> &served)
{
	while (true) {
		auto next = co_await listener.accept(job);
		if (!next.ok()) break;
		std::unique_ptr<Service_request> const request = std::move(next).value();
		served.push_back(request->service + ' ' + request->source);
	}
	served.push_back("end");
}

TEST_P(Loop_call_test, serves_calls)
{
	std::string const path = _place.path() + "/s";
	Service_listener listener(_loop), second(_loop);
	ASSERT_TRUE(listener.listen(path).ok());
	EXPECT_FALSE(second.listen(path).ok());
	std::vector<std::string> served;
	Job job(_loop.executor(), _arenas[0]);
	Root root = serve(job, listener, served);
	ASSERT_TRUE(root.start(job).ok());
	std::vector<Owned_fd> callers(3);
	for (auto &caller : callers) ASSERT_EQ(connect_to_local(path, caller), 0);
	say(callers[2], "a work\0"s);
	_run([&] { return served.size() == 1; });
	say(callers[0], "b vault\0"s);
	say(callers[1], "nonsense\0"s);
	_run([&] { return served.size() == 2; });
	job.cancel();
	_run([&] { return served.size() == 3; });
	EXPECT_EQ(served, (std::vector<std::string>{"a work", "b vault", "end"}));
}

INSTANTIATE_TEST_SUITE_P(
	Transports, Loop_call_test, testing::Values("shm", "socket"), transport_of);

} // namespace
} // namespace bulkhead::qrexec
