#include "rpc/qrexec/message_reader.h"
#include "rpc/qrexec/test/support.h"

#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;

/* All messages of a stream that comes in pieces, as bytes again; and the fault that ended it. */
struct Outcome
{
	std::vector<Buffer> messages{};
	std::optional<Stream_fault> fault{};
	bool within = false;

	bool operator==(Outcome const &) const = default;
};

Outcome read_pieces(Direction direction, Buffer const &stream, std::vector<size_t> const &ends)
{
	Buffer memory(Header::BYTES + TRIGGER4_BYTES + SERVICE_MAX + 1000);
	Message_reader reader{memory, direction, VERSION};
	Outcome outcome;
	size_t begin = 0;
	for (size_t const end : ends) {
		Bytes from = Bytes(stream).subspan(begin, end - begin);
		begin = end;
		for (;;) {
			auto const read = reader.read(from);
			if (!read.ok()) {
				outcome.fault = read.error();
				return outcome;
			}
			if (!read.value()) break;
			outcome.messages.push_back(message(read.value()->type, read.value()->body));
		}
		EXPECT_TRUE(from.empty());
	}
	outcome.within = reader.within_message();
	return outcome;
}

Outcome read_whole(Direction direction, Buffer const &stream)
{
	return read_pieces(direction, stream, {stream.size()});
}

struct Conversation
{
	Direction direction;
	std::vector<Buffer> messages;

	Buffer stream() const
	{
		Buffer result;
		for (Buffer const &message : messages) append(result, message);
		return result;
	}
};

Buffer trigger(Type type, std::string_view service)
{
	Buffer const body =
		field("target", 64) + field("SOCKET1", 32) + text(service) + text({"\0", 1});
	return message(type, type == Type::TRIGGER_SERVICE4 ? field("", 64) + body : body);
}

std::vector<Conversation> conversations()
{
	Buffer const command = params(7, 514) + text("user:true") + text({"\0", 1});
	Buffer const ident = field("SOCKET1", 32);
	return {
		{Direction::DAEMON_TO_AGENT,
			{hello(), message(Type::EXEC_CMDLINE, command), message(Type::JUST_EXEC, command),
				message(Type::SERVICE_CONNECT, params(8, 515) + ident),
				message(Type::SERVICE_REFUSED, ident)}},
		{Direction::AGENT_TO_DAEMON,
			{hello(3), trigger(Type::TRIGGER_SERVICE3, "a"), trigger(Type::TRIGGER_SERVICE4, "a+b"),
				message(Type::CONNECTION_TERMINATED, params(7, 514))}},
		{Direction::AGENT_TO_DAEMON, {hello(2), message(Type::TRIGGER_SERVICE, Buffer(128, 'a'))}},
		{Direction::CLIENT_TO_DAEMON, {hello(3), message(Type::JUST_EXEC, command)}},
		{Direction::CLIENT_TO_DAEMON,
			{hello(3), message(Type::SERVICE_CONNECT, params(8, 515) + text({"SOCKET11\0", 9}))}},
		{Direction::DAEMON_TO_CLIENT, {hello(3), message(Type::EXEC_CMDLINE, params(7, 514))}},
		{Direction::PROGRAM_TO_AGENT,
			{trigger(Type::TRIGGER_SERVICE4, "s"), trigger(Type::TRIGGER_SERVICE3, "s")}},
	};
}

TEST(Qrexec_message_reader, yields_each_message_of_each_direction)
{
	for (Conversation const &conversation : conversations()) {
		Outcome const outcome = read_whole(conversation.direction, conversation.stream());
		EXPECT_EQ(outcome, (Outcome{conversation.messages, {}, false}));
	}
}

TEST(Qrexec_message_reader, bytes_one_by_one_are_the_same_as_all_at_once)
{
	for (Conversation const &conversation : conversations()) {
		Buffer const stream = conversation.stream();
		std::vector<size_t> ends;
		for (size_t i = 1; i <= stream.size(); ++i) ends.push_back(i);
		EXPECT_EQ(read_pieces(conversation.direction, stream, ends),
			read_whole(conversation.direction, stream));
	}
}

TEST(Qrexec_message_reader, any_two_pieces_are_the_same_as_all_at_once)
{
	for (Conversation const &conversation : conversations()) {
		Buffer const stream = conversation.stream();
		Outcome const whole = read_whole(conversation.direction, stream);
		for (size_t at = 0; at <= stream.size(); ++at)
			ASSERT_EQ(read_pieces(conversation.direction, stream, {at, stream.size()}), whole);
	}
}

TEST(Qrexec_message_reader, a_stream_that_breaks_off_has_only_its_whole_messages)
{
	for (Conversation const &conversation : conversations()) {
		Buffer const stream = conversation.stream();
		for (size_t size = 0; size <= stream.size(); ++size) {
			Outcome const outcome = read_whole(
				conversation.direction, Buffer(stream.begin(), stream.begin() + long(size)));
			size_t whole = 0, end = 0;
			while (whole < conversation.messages.size() &&
				end + conversation.messages[whole].size() <= size)
				end += conversation.messages[whole++].size();
			EXPECT_FALSE(outcome.fault);
			EXPECT_EQ(outcome.messages.size(), whole);
			EXPECT_EQ(outcome.within, end != size);
		}
	}
}

TEST(Qrexec_message_reader, refuses_what_only_another_direction_may_send)
{
	for (Direction const direction : DIRECTIONS)
		for (Type const type : TYPES)
			for (uint32_t const size : {0U, 1U, 4U, 8U, 32U, 40U, 128U, 200U}) {
				bool const begins = direction == Direction::PROGRAM_TO_AGENT;
				Buffer const stream = begins ? Buffer() : hello();
				Outcome const outcome =
					read_whole(direction, stream + message(type, Buffer(size, 0)));
				bool const second = type == Type::HELLO && !begins && size == 4;
				if (second) {
					EXPECT_EQ(outcome.fault, Stream_fault::SECOND_HELLO);
				} else if (permitted(direction, VERSION, {static_cast<uint32_t>(type), size})) {
					EXPECT_EQ(outcome.fault, std::nullopt);
				} else {
					EXPECT_EQ(outcome.fault, Stream_fault::NOT_PERMITTED);
				}
			}
}

TEST(Qrexec_message_reader, knows_a_fault_by_the_header_alone)
{
	Buffer const header(hello() + number(0x190) + number(4));
	EXPECT_EQ(read_whole(Direction::AGENT_TO_DAEMON, header).fault, Stream_fault::NOT_PERMITTED);
}

TEST(Qrexec_message_reader, wants_hello_first_and_once)
{
	Buffer const ended = message(Type::CONNECTION_TERMINATED, params(7, 514));
	EXPECT_EQ(read_whole(Direction::AGENT_TO_DAEMON, ended).fault, Stream_fault::NO_HELLO);
	EXPECT_EQ(read_whole(Direction::AGENT_TO_DAEMON, message(Type::HELLO, Buffer(5))).fault,
		Stream_fault::NOT_PERMITTED);
	EXPECT_EQ(read_whole(Direction::AGENT_TO_DAEMON, hello(1)).fault, Stream_fault::OLD_VERSION);
	EXPECT_EQ(read_whole(Direction::AGENT_TO_DAEMON, hello() + ended + hello()).fault,
		Stream_fault::SECOND_HELLO);
	EXPECT_EQ(read_whole(Direction::PROGRAM_TO_AGENT, hello()).fault, Stream_fault::NOT_PERMITTED);
}

TEST(Qrexec_message_reader, agrees_on_a_version)
{
	Buffer memory(100);
	Message_reader reader{memory, Direction::DAEMON_TO_CLIENT, LOCAL_VERSION};
	EXPECT_EQ(reader.version(), 0U);
	Buffer const stream = hello(4);
	Bytes from = stream;
	ASSERT_TRUE(reader.read(from).ok());
	EXPECT_EQ(reader.version(), 3U);

	Message_reader of_program{memory, Direction::PROGRAM_TO_AGENT, VERSION};
	EXPECT_EQ(of_program.version(), VERSION);
}

TEST(Qrexec_message_reader, refuses_what_is_longer_than_its_buffer)
{
	Buffer memory(Header::BYTES + 12);
	for (size_t const size : {size_t(12), size_t(13)}) {
		Message_reader reader{memory, Direction::DAEMON_TO_AGENT, VERSION};
		Buffer const stream = hello() + message(Type::EXEC_CMDLINE, Buffer(size, 'a'));
		Bytes from = stream;
		ASSERT_TRUE(reader.read(from).ok());
		auto const read = reader.read(from);
		ASSERT_EQ(read.ok(), size == 12);
		if (!read.ok()) {
			EXPECT_EQ(read.error(), Stream_fault::TOO_LONG);
		}
	}
}

TEST(Qrexec_message_reader, a_fault_stays_until_the_connection_is_a_new_one)
{
	Buffer memory(100);
	Message_reader reader{memory, Direction::AGENT_TO_DAEMON, VERSION};
	Buffer const wrong = message(Type::SERVICE_REFUSED, field("a", 32));
	Bytes from = wrong;
	ASSERT_FALSE(reader.read(from).ok());
	Buffer const right = hello();
	from = right;
	ASSERT_FALSE(reader.read(from).ok());
	EXPECT_EQ(from.size(), right.size());

	reader.reset();
	from = right;
	auto const read = reader.read(from);
	ASSERT_TRUE(read.ok());
	ASSERT_TRUE(read.value());
	EXPECT_EQ(read.value()->type, Type::HELLO);
	EXPECT_EQ(reader.version(), VERSION);
	reader.reset();
	EXPECT_EQ(reader.version(), 0U);
}

TEST(Qrexec_message_reader, each_fault_has_a_name)
{
	for (Stream_fault const fault : {Stream_fault::NOT_PERMITTED, Stream_fault::TOO_LONG,
			 Stream_fault::NO_HELLO, Stream_fault::SECOND_HELLO, Stream_fault::OLD_VERSION})
		EXPECT_NE(name_of(fault), name_of(Stream_fault(0)));
}

} // namespace
} // namespace bulkhead::qrexec
