// The interface in C, as C++ sees it, against an agent and a service of this process.

#include "sdk/qrexec/qrexec.h"
#include "sdk/qrexec/test/support.h"

namespace bulkhead::qrexec {
namespace {

using namespace test;

class Qrexec_test : public testing::TestWithParam<char const *>
{
protected:
	Place _place{};
	std::string _vchans = _place.vchans();
	Fake_server _agent{_place.path() + "/agent"};
	Bulkhead_call *_call = nullptr;
	Owned_fd _link{};
	std::unique_ptr<Data_channel> _service{};

	~Qrexec_test() override { bulkhead_call_close(_call); }

	void _start(bool discard_errors = false)
	{
		Bulkhead_call_options options = BULKHEAD_CALL_OPTIONS_INIT;
		options.socket = _agent.path().c_str();
		options.transport = GetParam();
		options.directory = _vchans.c_str();
		options.own_domain = CALLER_DOMAIN;
		options.discard_errors = discard_errors;
		ASSERT_EQ(bulkhead_call_start(&_call, "vault", "test.Service+arg", &options), 0)
			<< bulkhead_call_last_error();
		EXPECT_EQ(bulkhead_call_state(_call), BULKHEAD_CALL_ASKING);
		_link = _agent.accept();
	}

	void _open(bool discard_errors = false)
	{
		_start(discard_errors);
		say(_link, params(SERVICE_DOMAIN, PORT));
		int error = 0;
		std::string why;
		auto transport = sdk::open_transport(GetParam(),
			{.server = false,
				.own = SERVICE_DOMAIN,
				.peer = CALLER_DOMAIN,
				.port = PORT,
				.directory = _vchans},
			error, why);
		ASSERT_TRUE(transport) << why;
		_service = std::make_unique<Data_channel>(std::move(transport), Side::SERVICE);
		until({bulkhead_call_fd(_call), _service->fd()}, [&] {
			_service->look();
			return bulkhead_call_look(_call) == BULKHEAD_CALL_OPEN &&
				_service->state() == Data_channel::State::OPEN;
		});
	}

	ssize_t _read(int stream, std::string &to, int timeout_ms = 0)
	{
		char buffer[100];
		ssize_t const n = bulkhead_call_read(_call, stream, buffer, sizeof(buffer), timeout_ms);
		if (n > 0) to.append(buffer, static_cast<size_t>(n));
		return n;
	}
};

TEST_P(Qrexec_test, reads_each_stream_on_its_own)
{
	_open();
	EXPECT_EQ(bulkhead_call_open_wait(_call, 0), 0);
	std::string out, err;
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out), -EAGAIN);
	_service->send(Stream::ERR, bytes_of("first"));
	_service->send(Stream::OUT, bytes_of("second"));
	_service->send(Stream::ERR, bytes_of("third"));
	_service->send_end(Stream::OUT);
	_service->send_end(Stream::ERR);
	_service->send_exit_code(5);
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), 6);
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), 0);
	int code = -1;
	EXPECT_EQ(bulkhead_call_exit_code(_call, &code, -1), 0);
	EXPECT_EQ(code, 5);
	EXPECT_EQ(bulkhead_call_state(_call), BULKHEAD_CALL_ENDED);
	EXPECT_EQ(_read(BULKHEAD_CALL_ERRORS, err), 10);
	EXPECT_EQ(_read(BULKHEAD_CALL_ERRORS, err), 0);
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out), 0);
	EXPECT_EQ(out + err, "secondfirstthird");
	EXPECT_EQ(bulkhead_call_write(_call, "x", 1, 0), -EPIPE);
	EXPECT_STREQ(bulkhead_call_error(_call), "the service takes no more input");
}

TEST_P(Qrexec_test, writes_and_ends_the_input)
{
	_open();
	EXPECT_EQ(bulkhead_call_write(_call, "question", 8, -1), 8);
	EXPECT_EQ(bulkhead_call_finish_input(_call, -1), 0);
	EXPECT_EQ(bulkhead_call_write(_call, "more", 4, 0), -EPIPE);
	std::string got;
	bool ended = false;
	until({_service->fd()}, [&] {
		_service->look();
		_service->arm(true, false);
		for (auto in = _service->peek(); in.kind != Data_channel::Kind::NOTHING;
			in = _service->peek()) {
			ended = in.kind == Data_channel::Kind::END;
			got += text_of(in.bytes);
			_service->consume(in.bytes.size());
		}
		return ended;
	});
	EXPECT_EQ(got, "question");
}

TEST_P(Qrexec_test, says_which_stream_has_to_be_read_first)
{
	_open();
	std::string const noise(BULKHEAD_CALL_KEPT_MAX + 1, '!');
	std::string out, err;
	size_t sent = 0;
	// The output's reader keeps what comes, as long as it may.
	ssize_t n = -EAGAIN;
	while (n == -EAGAIN) {
		_service->look();
		sent += _service->send(Stream::ERR, bytes_of(noise).subspan(sent));
		bulkhead_call_look(_call);
		n = _read(BULKHEAD_CALL_OUTPUT, out);
	}
	EXPECT_EQ(n, -ENOBUFS);
	EXPECT_NE(std::string(bulkhead_call_error(_call)), "");
	int code = 0;
	EXPECT_EQ(bulkhead_call_exit_code(_call, &code, -1), -ENOBUFS);
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_OUTPUT), unsigned{BULKHEAD_CALL_OUTPUT});
	while (err.size() < noise.size()) ASSERT_GT(_read(BULKHEAD_CALL_ERRORS, err, -1), 0);
	_service->send(Stream::OUT, bytes_of("word"));
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), 4);
}

TEST_P(Qrexec_test, throws_errors_away_for_those_who_want_none)
{
	_open(true);
	std::string const noise(10'000, '!');
	std::string out, err;
	for (int i = 0; i < 100; ++i) {
		_service->look();
		EXPECT_EQ(_service->send(Stream::ERR, bytes_of(noise)), noise.size());
		bulkhead_call_look(_call);
		EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out), -EAGAIN);
	}
	_service->send_exit_code(0);
	EXPECT_EQ(_read(BULKHEAD_CALL_ERRORS, err, -1), 0);
}

TEST_P(Qrexec_test, arms_for_what_is_named)
{
	_open();
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_OUTPUT), 0u);
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_INPUT), unsigned{BULKHEAD_CALL_INPUT});
	_service->send(Stream::OUT, bytes_of("x"));
	ASSERT_TRUE(readable(bulkhead_call_fd(_call), HANG_MS));
	EXPECT_EQ(bulkhead_call_look(_call), BULKHEAD_CALL_OPEN);
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_OUTPUT | BULKHEAD_CALL_ERRORS),
		unsigned{BULKHEAD_CALL_OUTPUT});
	std::string const block(65536, 'x');
	while (bulkhead_call_write(_call, block.data(), block.size(), 0) > 0) {}
	EXPECT_EQ(bulkhead_call_write(_call, "x", 1, 0), -EAGAIN);
	EXPECT_EQ(bulkhead_call_write(_call, "x", 1, 1), -ETIMEDOUT);
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_INPUT), 0u);
	_service->abandon();
	EXPECT_EQ(bulkhead_call_write(_call, "x", 1, -1), -EPIPE);
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_INPUT), unsigned{BULKHEAD_CALL_INPUT});
	std::string out;
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), 1);
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), -ECONNRESET);
	int code = 0;
	EXPECT_EQ(bulkhead_call_exit_code(_call, &code, -1), -ECONNRESET);
	EXPECT_EQ(code, BULKHEAD_CALL_EXIT_DISCONNECTED);
}

TEST_P(Qrexec_test, has_output_to_read_though_the_service_has_gone)
{
	_open();
	_service->send(Stream::OUT, bytes_of("last words"));
	_service->abandon();
	until({bulkhead_call_fd(_call)}, [&] {
		bulkhead_call_look(_call);
		return bulkhead_call_write(_call, "x", 1, 0) == -EPIPE;
	});
	EXPECT_EQ(bulkhead_call_arm(_call, BULKHEAD_CALL_INPUT), unsigned{BULKHEAD_CALL_INPUT});
	std::string out;
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), 10);
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), -ECONNRESET);
}

TEST_P(Qrexec_test, says_why_there_is_no_call)
{
	_start();
	EXPECT_EQ(bulkhead_call_open_wait(_call, 0), -EAGAIN);
	EXPECT_EQ(bulkhead_call_open_wait(_call, 1), -ETIMEDOUT);
	EXPECT_EQ(bulkhead_call_write(_call, "x", 1, 0), -EAGAIN);
	_link.reset();
	EXPECT_EQ(bulkhead_call_open_wait(_call, -1), -EACCES);
	EXPECT_EQ(bulkhead_call_state(_call), BULKHEAD_CALL_REFUSED);
	int code = 0;
	EXPECT_EQ(bulkhead_call_exit_code(_call, &code, -1), -EACCES);
	EXPECT_EQ(code, BULKHEAD_CALL_EXIT_REFUSED);
	EXPECT_NE(std::string(bulkhead_call_error(_call)), "");
}

TEST_P(Qrexec_test, can_be_cancelled)
{
	_open();
	bulkhead_call_cancel(_call);
	std::string out;
	EXPECT_EQ(_read(BULKHEAD_CALL_OUTPUT, out, -1), -ECANCELED);
	EXPECT_EQ(_read(0, out), -EINVAL);
	EXPECT_EQ(bulkhead_call_finish_input(_call, -1), -ECANCELED);
	EXPECT_EQ(bulkhead_call_state(_call), BULKHEAD_CALL_FAILED);
}

INSTANTIATE_TEST_SUITE_P(Transports, Qrexec_test, testing::Values("shm", "socket"), transport_of);

} // namespace
} // namespace bulkhead::qrexec
