#include "rpc/qrexec/data_reader.h"
#include "rpc/qrexec/test/support.h"

#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
using Kind = Data_reader::Kind;

/* What a stream says, with adjacent bytes of one stream as one text. */
struct Outcome
{
	std::vector<std::string> events{};
	std::optional<Stream_fault> fault{};

	bool operator==(Outcome const &) const = default;
};

void note(Outcome &outcome, Data_reader::Event const &event, Bytes bytes)
{
	std::string const stream = std::to_string(int(event.stream));
	switch (event.kind) {
	case Kind::MORE: break;
	case Kind::HELLO: outcome.events.push_back("hello"); break;
	case Kind::END: outcome.events.push_back("end " + stream); break;
	case Kind::EXIT_CODE:
		outcome.events.push_back("exit " + std::to_string(event.exit_code));
		break;
	case Kind::BYTES: {
		std::string const head = "bytes " + stream + ' ';
		if (outcome.events.empty() || !outcome.events.back().starts_with(head))
			outcome.events.push_back(head);
		outcome.events.back() += text_of(bytes);
	}
	}
}

/* Takes at most `most` bytes of a chunk at once. */
Outcome read_pieces(
	Direction direction, Buffer const &stream, std::vector<size_t> const &ends, size_t most)
{
	Data_reader reader{direction};
	Outcome outcome;
	size_t begin = 0;
	for (size_t const end : ends) {
		Bytes from = Bytes(stream).subspan(begin, end - begin);
		begin = end;
		for (;;) {
			uint8_t const *const before = from.data();
			auto const next = reader.next(from);
			if (!next.ok()) {
				outcome.fault = next.error();
				return outcome;
			}
			Data_reader::Event const &event = next.value();
			if (event.kind == Kind::MORE) break;
			size_t const taken = std::min(most, event.bytes);
			note(outcome, event, from.first(taken));
			EXPECT_GE(from.data(), before);
			EXPECT_EQ(event.kind == Kind::BYTES, event.bytes != 0);
			reader.take(taken);
			from = from.subspan(taken);
		}
		EXPECT_TRUE(from.empty());
	}
	return outcome;
}

Outcome read_whole(Direction direction, Buffer const &stream)
{
	return read_pieces(direction, stream, {stream.size()}, stream.size());
}

constexpr Direction IN = Direction::CALLER_TO_SERVICE;
constexpr Direction OUT = Direction::SERVICE_TO_CALLER;

Buffer exit_code(uint32_t code) { return message(Type::DATA_EXIT_CODE, number(code)); }

Buffer usual_answer()
{
	return hello() + message(Type::DATA_STDOUT, "one") + message(Type::DATA_STDERR, "warning") +
		message(Type::DATA_STDOUT, "two") + message(Type::DATA_STDOUT, "") +
		message(Type::DATA_STDERR, "last") + message(Type::DATA_STDERR, "") +
		exit_code(uint32_t(-3));
}

Outcome usual_outcome()
{
	return {{"hello", "bytes 1 one", "bytes 2 warning", "bytes 1 two", "end 1", "bytes 2 last",
				"end 2", "exit -3"},
		{}};
}

TEST(Qrexec_data_reader, tells_what_a_service_sends)
{
	EXPECT_EQ(read_whole(OUT, usual_answer()), usual_outcome());
}

TEST(Qrexec_data_reader, tells_what_a_caller_sends)
{
	Buffer const stream =
		hello(3) + message(Type::DATA_STDIN, "data") + message(Type::DATA_STDIN, "");
	EXPECT_EQ(read_whole(IN, stream), (Outcome{{"hello", "bytes 0 data", "end 0"}, {}}));
}

TEST(Qrexec_data_reader, bytes_one_by_one_are_the_same_as_all_at_once)
{
	Buffer const stream = usual_answer();
	std::vector<size_t> ends;
	for (size_t i = 1; i <= stream.size(); ++i) ends.push_back(i);
	EXPECT_EQ(read_pieces(OUT, stream, ends, 1), usual_outcome());
	EXPECT_EQ(read_pieces(OUT, stream, {stream.size()}, 1), usual_outcome());
}

TEST(Qrexec_data_reader, any_two_pieces_are_the_same_as_all_at_once)
{
	Buffer const stream = usual_answer();
	for (size_t at = 0; at <= stream.size(); ++at)
		EXPECT_EQ(read_pieces(OUT, stream, {at, stream.size()}, 2), usual_outcome());
}

TEST(Qrexec_data_reader, leaves_the_bytes_where_they_are)
{
	Buffer const stream = hello() + message(Type::DATA_STDIN, "0123456789");
	Data_reader reader{IN};
	Bytes from = stream;
	ASSERT_TRUE(reader.next(from).ok());
	for (size_t const taken : {size_t(0), size_t(3), size_t(7)}) {
		auto const next = reader.next(from);
		ASSERT_TRUE(next.ok());
		EXPECT_EQ(next.value().bytes, from.size());
		EXPECT_EQ(from.data() + from.size(), stream.data() + stream.size());
		reader.take(taken);
		from = from.subspan(taken);
	}
	EXPECT_EQ(reader.next(from).value().kind, Kind::MORE);
}

TEST(Qrexec_data_reader, a_chunk_may_be_as_long_as_the_version_says)
{
	for (uint32_t const version : {2U, 3U, 4U, 5U}) {
		size_t const most = version == 2 ? 4096 : 65536;
		Data_reader reader{IN};
		Buffer const greeting = hello(version);
		Bytes from = greeting;
		ASSERT_EQ(reader.next(from).value().kind, Kind::HELLO);
		EXPECT_EQ(reader.version(), std::min(version, 4U));
		EXPECT_EQ(reader.chunk_max(), most);
		for (size_t const size : {size_t(0), size_t(1), most, most + 1}) {
			Buffer const stream = greeting + message(Type::DATA_STDIN, Buffer(size, 'a'));
			EXPECT_EQ(read_whole(IN, stream).fault.has_value(), size > most);
		}
	}
}

TEST(Qrexec_data_reader, exit_codes_are_of_four_bytes)
{
	for (size_t const size : {0, 1, 3, 4, 5, 8}) {
		Buffer const stream = hello() + message(Type::DATA_EXIT_CODE, Buffer(size, 0));
		EXPECT_EQ(read_whole(OUT, stream).fault.has_value(), size != 4);
	}
	EXPECT_EQ(read_whole(OUT, hello() + exit_code(125)).events.back(), "exit 125");
}

TEST(Qrexec_data_reader, refuses_what_only_the_other_direction_may_send)
{
	for (Direction const direction : {IN, OUT})
		for (Type const type : TYPES)
			for (uint32_t const size : {0U, 1U, 4U, 8U, 32U, 40U, 128U, 200U}) {
				Outcome const outcome =
					read_whole(direction, hello() + message(type, Buffer(size, 0)));
				if (type == Type::HELLO && size == 4) {
					EXPECT_EQ(outcome.fault, Stream_fault::SECOND_HELLO);
				} else if (permitted(direction, VERSION, {static_cast<uint32_t>(type), size})) {
					EXPECT_EQ(outcome.fault, std::nullopt);
				} else {
					EXPECT_EQ(outcome.fault, Stream_fault::NOT_PERMITTED);
				}
			}
}

TEST(Qrexec_data_reader, wants_hello_first_and_once)
{
	EXPECT_EQ(read_whole(IN, message(Type::DATA_STDIN, "a")).fault, Stream_fault::NO_HELLO);
	EXPECT_EQ(read_whole(IN, hello(1)).fault, Stream_fault::OLD_VERSION);
	EXPECT_EQ(read_whole(IN, message(Type::HELLO, Buffer(8))).fault, Stream_fault::NOT_PERMITTED);
	EXPECT_EQ(read_whole(IN, hello() + message(Type::DATA_STDIN, "a") + hello()).fault,
		Stream_fault::SECOND_HELLO);
}

TEST(Qrexec_data_reader, a_stream_that_ends_again_and_again_is_an_attack)
{
	// Otherwise who sends them fast enough would keep a reader in `next` for ever.
	Buffer stream = hello() + message(Type::DATA_STDIN, "");
	for (unsigned i = 0; i < Data_reader::ENDS_AGAIN_MAX; ++i)
		stream = stream + message(Type::DATA_STDIN, "");
	EXPECT_EQ(read_whole(IN, stream), (Outcome{{"hello", "end 0"}, {}}));
	EXPECT_EQ(
		read_whole(IN, stream + message(Type::DATA_STDIN, "")).fault, Stream_fault::NOT_PERMITTED);
}

TEST(Qrexec_data_reader, no_bytes_come_after_the_end_of_their_stream)
{
	for (Type const type : {Type::DATA_STDOUT, Type::DATA_STDERR}) {
		Buffer const ended = hello() + message(type, "");
		EXPECT_EQ(read_whole(OUT, ended + message(type, "a")).fault, Stream_fault::NOT_PERMITTED);
		EXPECT_EQ(read_whole(OUT, ended + message(type, "")), read_whole(OUT, ended));
		Type const other = type == Type::DATA_STDOUT ? Type::DATA_STDERR : Type::DATA_STDOUT;
		EXPECT_FALSE(read_whole(OUT, ended + message(other, "a") + exit_code(0)).fault);
	}
	Buffer const ended = hello() + message(Type::DATA_STDIN, "");
	EXPECT_EQ(
		read_whole(IN, ended + message(Type::DATA_STDIN, "a")).fault, Stream_fault::NOT_PERMITTED);
}

TEST(Qrexec_data_reader, nothing_comes_after_the_exit_code)
{
	Buffer const exited = hello() + exit_code(0);
	EXPECT_FALSE(read_whole(OUT, exited).fault);
	EXPECT_EQ(read_whole(OUT, exited + Buffer(1)).fault, Stream_fault::NOT_PERMITTED);
	EXPECT_EQ(read_whole(OUT, exited + message(Type::DATA_STDOUT, "")).fault,
		Stream_fault::NOT_PERMITTED);
	EXPECT_EQ(read_whole(OUT, exited + exit_code(0)).fault, Stream_fault::NOT_PERMITTED);
}

TEST(Qrexec_data_reader, remembers_ends_and_faults)
{
	Data_reader reader{OUT};
	Buffer const stream = hello() + message(Type::DATA_STDERR, "") + exit_code(7);
	Bytes from = stream;
	EXPECT_FALSE(reader.ended(Stream::ERR));
	while (reader.next(from).value().kind != Kind::MORE) {}
	EXPECT_TRUE(reader.ended(Stream::ERR));
	EXPECT_FALSE(reader.ended(Stream::OUT));
	EXPECT_TRUE(reader.exited());

	from = stream;
	EXPECT_FALSE(reader.next(from).ok());
	from = {};
	EXPECT_FALSE(reader.next(from).ok());
}

} // namespace
} // namespace bulkhead::qrexec
