#include "sdk/qrexec/data_channel.h"
#include "sdk/qrexec/test/support.h"

namespace bulkhead::qrexec {
namespace {

using namespace test;
using Kind = Data_channel::Kind;
using State = Data_channel::State;

class Data_channel_test : public testing::TestWithParam<char const *>
{
protected:
	Place _place{};

	sdk::Wanted _wanted(Side side, size_t ring = Data_channel::RING_BYTES)
	{
		bool const caller = side == Side::CALLER;
		return {.server = caller,
			.own = caller ? CALLER_DOMAIN : SERVICE_DOMAIN,
			.peer = caller ? SERVICE_DOMAIN : CALLER_DOMAIN,
			.port = PORT,
			.read_bytes = ring,
			.write_bytes = ring,
			.directory = _place.vchans()};
	}

	std::unique_ptr<Data_channel> _open(Side side, size_t ring = Data_channel::RING_BYTES)
	{
		int error = 0;
		std::string why;
		auto transport = sdk::open_transport(GetParam(), _wanted(side, ring), error, why);
		EXPECT_TRUE(transport) << why;
		return std::make_unique<Data_channel>(std::move(transport), side);
	}
};

void meet(Data_channel &a, Data_channel &b)
{
	until({a.fd(), b.fd()}, [&] {
		a.look();
		b.look();
		return a.state() == State::OPEN && b.state() == State::OPEN;
	});
}

void talk(Raw_end &raw, Data_channel &channel, std::string_view bytes)
{
	raw.send(bytes, {channel.fd()}, [&] { channel.look(); });
}

// The other side has greeted as `version`, and heard us.
void greet(Raw_end &raw, Data_channel &channel, uint32_t version)
{
	talk(raw, channel, hello(version));
	EXPECT_EQ(raw.receive(12, {channel.fd()}, [&] { channel.look(); }), hello(4));
	until({channel.fd()}, [&] { return channel.look() != State::GREETING; });
}

// What comes next, waiting for it.
Data_channel::Incoming next(Data_channel &channel)
{
	Data_channel::Incoming incoming{};
	until({channel.fd()}, [&] {
		channel.look();
		for (int i = 0; i < 2 && incoming.kind == Kind::NOTHING; ++i) {
			incoming = channel.peek();
			channel.arm(true, false);
		}
		return incoming.kind != Kind::NOTHING || channel.state() == State::CLOSED ||
			channel.state() == State::BROKEN;
	});
	return incoming;
}

std::string read_stream(Data_channel &channel, Stream stream, size_t size)
{
	std::string bytes;
	while (bytes.size() < size) {
		auto const incoming = next(channel);
		EXPECT_EQ(incoming.kind, Kind::BYTES);
		EXPECT_EQ(incoming.stream, stream);
		if (incoming.kind != Kind::BYTES) break;
		bytes += text_of(incoming.bytes);
		channel.consume(incoming.bytes.size());
	}
	return bytes;
}

TEST_P(Data_channel_test, carries_all_streams_and_the_exit_code)
{
	auto const caller = _open(Side::CALLER), service = _open(Side::SERVICE);
	meet(*caller, *service);
	EXPECT_EQ(caller->version(), VERSION);

	EXPECT_EQ(caller->send(Stream::IN, bytes_of("question")), 8u);
	EXPECT_TRUE(caller->send_end(Stream::IN));
	EXPECT_TRUE(caller->send_end(Stream::IN));
	EXPECT_EQ(caller->send(Stream::IN, bytes_of("more")), 0u);
	EXPECT_EQ(read_stream(*service, Stream::IN, 8), "question");
	EXPECT_EQ(next(*service).kind, Kind::END);

	EXPECT_EQ(service->send(Stream::OUT, bytes_of("answer")), 6u);
	EXPECT_EQ(service->send(Stream::ERR, bytes_of("complaint")), 9u);
	EXPECT_TRUE(service->send_end(Stream::OUT));
	EXPECT_TRUE(service->send_end(Stream::ERR));
	EXPECT_TRUE(service->send_exit_code(-3));
	EXPECT_EQ(service->send(Stream::ERR, bytes_of("late")), 0u);
	EXPECT_EQ(read_stream(*caller, Stream::OUT, 6), "answer");
	EXPECT_EQ(read_stream(*caller, Stream::ERR, 9), "complaint");
	EXPECT_EQ(next(*caller).stream, Stream::OUT);
	EXPECT_EQ(next(*caller).stream, Stream::ERR);
	auto const last = next(*caller);
	EXPECT_EQ(last.kind, Kind::EXIT_CODE);
	EXPECT_EQ(last.exit_code, -3);
	EXPECT_TRUE(caller->exited());
	EXPECT_EQ(caller->state(), State::OPEN);
}

TEST_P(Data_channel_test, keeps_what_was_sent_before_the_end)
{
	auto const caller = _open(Side::CALLER);
	auto service = _open(Side::SERVICE);
	meet(*caller, *service);
	EXPECT_EQ(service->send(Stream::OUT, bytes_of("last words")), 10u);
	EXPECT_TRUE(service->send_exit_code(0));
	service.reset();
	EXPECT_EQ(read_stream(*caller, Stream::OUT, 10), "last words");
	EXPECT_EQ(next(*caller).kind, Kind::EXIT_CODE);
	EXPECT_EQ(next(*caller).kind, Kind::NOTHING);
	EXPECT_EQ(caller->state(), State::CLOSED);
	EXPECT_TRUE(caller->peer_gone());
	EXPECT_EQ(caller->send(Stream::IN, bytes_of("too late")), 0u);
}

TEST_P(Data_channel_test, says_that_the_peer_has_gone_though_there_is_more_to_read)
{
	auto const caller = _open(Side::CALLER);
	auto service = _open(Side::SERVICE);
	meet(*caller, *service);
	EXPECT_EQ(service->send(Stream::OUT, bytes_of("word")), 4u);
	service.reset();
	until({caller->fd()}, [&] {
		caller->look();
		return caller->peer_gone();
	});
	EXPECT_EQ(caller->state(), State::OPEN);
	EXPECT_EQ(read_stream(*caller, Stream::OUT, 4), "word");
}

TEST_P(Data_channel_test, greets_without_waiting_for_a_greeting)
{
	auto const caller = _open(Side::CALLER);
	Raw_end raw(GetParam(), _wanted(Side::SERVICE));
	EXPECT_EQ(raw.receive(12, {caller->fd()}, [&] { caller->look(); }), hello(4));
	EXPECT_EQ(caller->state(), State::GREETING);
	EXPECT_TRUE(caller->reserve(Stream::IN).first.empty());
	talk(raw, *caller, hello(4));
	until({caller->fd()}, [&] { return caller->look() == State::OPEN; });
}

TEST_P(Data_channel_test, sends_small_chunks_to_a_peer_of_version_2)
{
	auto const caller = _open(Side::CALLER);
	Raw_end raw(GetParam(), _wanted(Side::SERVICE));
	greet(raw, *caller, 2);
	EXPECT_EQ(caller->version(), 2u);
	std::string const bytes = numbered(5000);
	EXPECT_EQ(caller->send(Stream::IN, bytes_of(bytes)), 4096u);
	auto const room = caller->reserve(Stream::IN);
	EXPECT_EQ(room.size(), 4096u);
	caller->commit(0);
	EXPECT_EQ(raw.receive(8 + 4096, {}, [] {}), message(Type::DATA_STDIN, bytes.substr(0, 4096)));

	// And takes none that are longer.
	talk(raw, *caller, message(Type::DATA_STDOUT, std::string(4096, 'x')));
	EXPECT_EQ(read_stream(*caller, Stream::OUT, 4096), std::string(4096, 'x'));
	talk(raw, *caller, number(0x191) + number(4097));
	EXPECT_EQ(next(*caller).kind, Kind::NOTHING);
	EXPECT_EQ(caller->state(), State::BROKEN);
	EXPECT_NE(caller->message(), "");
}

TEST_P(Data_channel_test, refuses_a_version_that_is_too_old)
{
	auto const caller = _open(Side::CALLER);
	Raw_end raw(GetParam(), _wanted(Side::SERVICE));
	greet(raw, *caller, 1);
	EXPECT_EQ(caller->state(), State::BROKEN);
	EXPECT_NE(caller->message().find("version"), std::string::npos) << caller->message();
}

TEST_P(Data_channel_test, agrees_on_its_own_version_with_a_newer_peer)
{
	auto const caller = _open(Side::CALLER);
	Raw_end raw(GetParam(), _wanted(Side::SERVICE));
	greet(raw, *caller, 9);
	EXPECT_EQ(caller->version(), VERSION);
}

TEST_P(Data_channel_test, refuses_messages_of_the_wrong_direction)
{
	for (Type const type : {Type::DATA_STDOUT, Type::DATA_STDERR, Type::DATA_EXIT_CODE, Type::HELLO,
			 Type::EXEC_CMDLINE}) {
		Raw_end raw(GetParam(), _wanted(Side::CALLER));
		auto const service = _open(Side::SERVICE);
		greet(raw, *service, 4);
		talk(raw, *service, message(type, number(4)));
		EXPECT_EQ(next(*service).kind, Kind::NOTHING);
		EXPECT_EQ(service->state(), State::BROKEN);
	}
	auto const caller = _open(Side::CALLER);
	Raw_end raw(GetParam(), _wanted(Side::SERVICE));
	greet(raw, *caller, 4);
	talk(raw, *caller, message(Type::DATA_STDIN, "x"));
	EXPECT_EQ(next(*caller).kind, Kind::NOTHING);
	EXPECT_EQ(caller->state(), State::BROKEN);
}

TEST_P(Data_channel_test, takes_chunks_of_each_size)
{
	for (size_t const size : {size_t{1}, size_t{2}, CHUNK_MAX - 1, CHUNK_MAX}) {
		auto const caller = _open(Side::CALLER);
		Raw_end raw(GetParam(), _wanted(Side::SERVICE));
		greet(raw, *caller, 4);
		// Longer than a ring with its header: the reader takes it as it comes.
		std::string const bytes = numbered(size), wire = message(Type::DATA_STDERR, bytes);
		std::string got;
		raw.send(wire, {caller->fd()}, [&] {
			caller->look();
			for (auto in = caller->peek(); in.kind != Kind::NOTHING; in = caller->peek()) {
				EXPECT_EQ(in.stream, Stream::ERR);
				got += text_of(in.bytes);
				caller->consume(in.bytes.size());
			}
			caller->arm(true, false);
		});
		got += read_stream(*caller, Stream::ERR, size - got.size());
		EXPECT_EQ(got, bytes);
		talk(raw, *caller, message(Type::DATA_STDERR));
		EXPECT_EQ(next(*caller).kind, Kind::END);
	}
	auto const caller = _open(Side::CALLER);
	Raw_end raw(GetParam(), _wanted(Side::SERVICE));
	greet(raw, *caller, 4);
	talk(raw, *caller, number(0x191) + number(CHUNK_MAX + 1));
	EXPECT_EQ(next(*caller).kind, Kind::NOTHING);
	EXPECT_EQ(caller->state(), State::BROKEN);
}

TEST_P(Data_channel_test, shows_a_chunk_again_until_it_is_consumed)
{
	auto const caller = _open(Side::CALLER), service = _open(Side::SERVICE);
	meet(*caller, *service);
	service->send(Stream::OUT, bytes_of("abcdef"));
	EXPECT_EQ(text_of(next(*caller).bytes), "abcdef");
	EXPECT_EQ(text_of(caller->peek().bytes), "abcdef");
	caller->look();
	EXPECT_EQ(text_of(caller->peek().bytes), "abcdef");
	caller->consume(4);
	EXPECT_EQ(text_of(caller->peek().bytes), "ef");
	caller->consume(2);
	EXPECT_EQ(caller->peek().kind, Kind::NOTHING);
}

TEST_P(Data_channel_test, is_filled_in_place)
{
	auto const caller = _open(Side::CALLER), service = _open(Side::SERVICE);
	meet(*caller, *service);
	std::string sent, got;
	// Often enough for each way in which a header can lie across the end of the ring.
	for (size_t i = 1; i < 200; ++i) {
		std::string const bytes = numbered(i * 53 % 9973 + 1);
		auto const room = service->reserve(Stream::OUT, bytes.size());
		ASSERT_EQ(room.size(), bytes.size());
		size_t const first = copy_bytes(room.first, bytes_of(bytes));
		copy_bytes(room.second, bytes_of(bytes).subspan(first));
		service->commit(bytes.size());
		EXPECT_EQ(read_stream(*caller, Stream::OUT, bytes.size()), bytes);
	}
}

TEST_P(Data_channel_test, waits_for_a_slow_reader)
{
	auto const caller = _open(Side::CALLER, 4096), service = _open(Side::SERVICE);
	meet(*caller, *service);
	std::string const bytes = numbered(3'000'000);
	size_t sent = 0, full = 0;
	std::string got;
	while (got.size() < bytes.size()) {
		service->look();
		size_t n = 1;
		for (; n > 0 && sent < bytes.size(); sent += n)
			n = service->send(Stream::OUT, bytes_of(bytes).subspan(sent));
		full += n == 0;
		caller->look();
		auto const incoming = caller->peek();
		ASSERT_EQ(incoming.kind, Kind::BYTES);
		size_t const bite = std::min<size_t>(incoming.bytes.size(), 1000);
		got += text_of(incoming.bytes.first(bite));
		caller->consume(bite);
	}
	EXPECT_EQ(got, bytes);
	EXPECT_GT(full, 0u);
}

TEST_P(Data_channel_test, hears_of_a_peer_that_closes_in_the_middle_of_a_chunk)
{
	auto const caller = _open(Side::CALLER);
	{
		Raw_end raw(GetParam(), _wanted(Side::SERVICE));
		greet(raw, *caller, 4);
		talk(raw, *caller, number(0x191) + number(100) + "not all");
	}
	EXPECT_EQ(read_stream(*caller, Stream::OUT, 7), "not all");
	EXPECT_EQ(next(*caller).kind, Kind::NOTHING);
	EXPECT_EQ(caller->state(), State::CLOSED);
}

TEST_P(Data_channel_test, hears_of_a_peer_that_closes_without_a_greeting)
{
	auto const caller = _open(Side::CALLER);
	{
		Raw_end raw(GetParam(), _wanted(Side::SERVICE));
		talk(raw, *caller, hello(4).substr(0, 5));
		EXPECT_EQ(raw.receive(12, {caller->fd()}, [&] { caller->look(); }), hello(4));
	}
	EXPECT_EQ(next(*caller).kind, Kind::NOTHING);
	EXPECT_EQ(caller->state(), State::CLOSED);
	EXPECT_NE(caller->message(), "");
}

TEST_P(Data_channel_test, breaks_with_a_peer_whose_rings_hold_no_greeting)
{
	// With sockets a client has rings of its own.
	if (std::string_view(GetParam()) != "shm") return;
	Raw_end raw(GetParam(), _wanted(Side::CALLER, 8));
	auto const service = _open(Side::SERVICE);
	until({raw.fd(), service->fd()}, [&] {
		raw.transport().look();
		return service->look() == State::BROKEN;
	});
	EXPECT_NE(service->message().find("too small"), std::string::npos);
}

TEST_P(Data_channel_test, ends_at_once_when_abandoned)
{
	auto const caller = _open(Side::CALLER, 4096), service = _open(Side::SERVICE);
	meet(*caller, *service);
	std::string const bytes = numbered(65536);
	while (caller->send(Stream::IN, bytes_of(bytes)) > 0) {}
	EXPECT_EQ(caller->delivered(), std::string_view(GetParam()) == "shm");
	caller->abandon();
	EXPECT_EQ(caller->state(), State::CLOSED);
	EXPECT_EQ(caller->peek().kind, Kind::NOTHING);
	EXPECT_EQ(caller->look(), State::CLOSED);
	until({service->fd()}, [&] {
		service->look();
		return service->peer_gone();
	});
}

INSTANTIATE_TEST_SUITE_P(
	Transports, Data_channel_test, testing::Values("shm", "socket"), transport_of);

} // namespace
} // namespace bulkhead::qrexec
