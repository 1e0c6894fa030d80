#include "rpc/qrexec/message.h"
#include "rpc/qrexec/test/support.h"

#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;

/* What may be sent; all else may not. Sizes as numbers: facts, not our own constants. */
struct Row
{
	Direction direction;
	Type type;
	uint32_t version_from;
	uint32_t version_to;
	uint32_t least;
	uint32_t most;
};

constexpr Row ROWS[] = {
	{Direction::DAEMON_TO_AGENT, Type::HELLO, 0, 9, 4, 4},
	{Direction::DAEMON_TO_AGENT, Type::EXEC_CMDLINE, 2, 9, 9, 8 + 65535},
	{Direction::DAEMON_TO_AGENT, Type::JUST_EXEC, 2, 9, 9, 8 + 65535},
	{Direction::DAEMON_TO_AGENT, Type::SERVICE_CONNECT, 2, 9, 10, 40},
	{Direction::DAEMON_TO_AGENT, Type::SERVICE_REFUSED, 2, 9, 32, 32},
	{Direction::AGENT_TO_DAEMON, Type::HELLO, 0, 9, 4, 4},
	{Direction::AGENT_TO_DAEMON, Type::TRIGGER_SERVICE, 2, 2, 128, 128},
	{Direction::AGENT_TO_DAEMON, Type::TRIGGER_SERVICE3, 3, 9, 97, 96 + 65000},
	{Direction::AGENT_TO_DAEMON, Type::TRIGGER_SERVICE4, 3, 9, 161, 160 + 65000},
	{Direction::AGENT_TO_DAEMON, Type::CONNECTION_TERMINATED, 2, 9, 8, 8},
	{Direction::CLIENT_TO_DAEMON, Type::HELLO, 0, 9, 4, 4},
	{Direction::CLIENT_TO_DAEMON, Type::EXEC_CMDLINE, 2, 9, 9, 8 + 65535},
	{Direction::CLIENT_TO_DAEMON, Type::JUST_EXEC, 2, 9, 9, 8 + 65535},
	{Direction::CLIENT_TO_DAEMON, Type::SERVICE_CONNECT, 2, 9, 10, 40},
	{Direction::DAEMON_TO_CLIENT, Type::HELLO, 0, 9, 4, 4},
	{Direction::DAEMON_TO_CLIENT, Type::EXEC_CMDLINE, 2, 9, 8, 8},
	{Direction::DAEMON_TO_CLIENT, Type::JUST_EXEC, 2, 9, 8, 8},
	{Direction::DAEMON_TO_CLIENT, Type::SERVICE_CONNECT, 2, 9, 8, 8},
	{Direction::PROGRAM_TO_AGENT, Type::TRIGGER_SERVICE, 2, 2, 128, 128},
	{Direction::PROGRAM_TO_AGENT, Type::TRIGGER_SERVICE3, 3, 9, 97, 96 + 65000},
	{Direction::PROGRAM_TO_AGENT, Type::TRIGGER_SERVICE4, 3, 9, 161, 160 + 65000},
	{Direction::CALLER_TO_SERVICE, Type::HELLO, 0, 9, 4, 4},
	{Direction::CALLER_TO_SERVICE, Type::DATA_STDIN, 2, 2, 0, 4096},
	{Direction::CALLER_TO_SERVICE, Type::DATA_STDIN, 3, 9, 0, 65536},
	{Direction::SERVICE_TO_CALLER, Type::HELLO, 0, 9, 4, 4},
	{Direction::SERVICE_TO_CALLER, Type::DATA_STDOUT, 2, 2, 0, 4096},
	{Direction::SERVICE_TO_CALLER, Type::DATA_STDERR, 2, 2, 0, 4096},
	{Direction::SERVICE_TO_CALLER, Type::DATA_STDOUT, 3, 9, 0, 65536},
	{Direction::SERVICE_TO_CALLER, Type::DATA_STDERR, 3, 9, 0, 65536},
	{Direction::SERVICE_TO_CALLER, Type::DATA_EXIT_CODE, 2, 9, 4, 4},
};

bool expected(Direction direction, uint32_t version, Header header)
{
	return std::ranges::any_of(ROWS, [&](Row const &row) {
		return row.direction == direction && static_cast<uint32_t>(row.type) == header.type &&
			row.version_from <= version && version <= row.version_to && row.least <= header.size &&
			header.size <= row.most;
	});
}

std::vector<uint32_t> interesting_types()
{
	std::vector<uint32_t> types{0, 1, 0x18f, 0x194, 0x1ff, 0x204, 0x20f, 0x214, 0x2ff, 0x301,
		0x10300, 0x80000190, 0xffffffff};
	for (Type const type : TYPES) types.push_back(static_cast<uint32_t>(type));
	return types;
}

std::vector<uint32_t> interesting_sizes()
{
	std::vector<uint32_t> sizes{0, 1, 2, 3, 4, 5, 0x7fffffff, 0x80000000, 0xffffffff};
	for (Row const &row : ROWS)
		for (uint32_t const size : {row.least, row.most})
			for (uint32_t const near : {size - 1, size, size + 1}) sizes.push_back(near);
	return sizes;
}

TEST(Qrexec_message, permits_what_the_table_says_and_nothing_else)
{
	for (Direction const direction : DIRECTIONS)
		for (uint32_t const version : {0U, 1U, 2U, 3U, 4U})
			for (uint32_t const type : interesting_types())
				for (uint32_t const size : interesting_sizes()) {
					Header const header{type, size};
					ASSERT_EQ(
						permitted(direction, version, header), expected(direction, version, header))
						<< "direction " << int(direction) << " version " << version << " type "
						<< std::hex << type << " size " << size;
				}
}

TEST(Qrexec_message, takes_the_lower_of_two_versions)
{
	EXPECT_EQ(common_version(4, 4), 4U);
	EXPECT_EQ(common_version(4, 3), 3U);
	EXPECT_EQ(common_version(3, 4), 3U);
	EXPECT_EQ(common_version(4, 2), 2U);
	EXPECT_EQ(common_version(4, 0xffffffff), 4U);
	EXPECT_EQ(common_version(4, 1), std::nullopt);
	EXPECT_EQ(common_version(4, 0), std::nullopt);
	EXPECT_EQ(common_version(1, 4), std::nullopt);
}

TEST(Qrexec_message, numbers_are_little_endian)
{
	Buffer bytes(8);
	encode(Header{0x213, 0x01020304}, std::span(bytes).first<8>());
	EXPECT_EQ(bytes, (Buffer{0x13, 2, 0, 0, 4, 3, 2, 1}));
	Header const header = decode_header(bytes);
	EXPECT_EQ(header.type, 0x213U);
	EXPECT_EQ(header.size, 0x01020304U);

	encode(Exec_params{42, 513}, std::span(bytes).first<8>());
	EXPECT_EQ(bytes, (Buffer{42, 0, 0, 0, 1, 2, 0, 0}));
	EXPECT_EQ(decode_exec_params(bytes), (Exec_params{42, 513}));
	EXPECT_EQ(decode_number(std::span(bytes).subspan(4)), 513U);
}

TEST(Qrexec_message, a_name_ends_at_its_nul)
{
	EXPECT_EQ(decode_name(field("work", 32)), "work");
	EXPECT_EQ(decode_name(field("", 32)), "");
	EXPECT_EQ(decode_name(field(std::string(31, 'a'), 32)), std::string(31, 'a'));
	EXPECT_EQ(decode_name(field(std::string(32, 'a'), 32)), std::nullopt);
	EXPECT_EQ(decode_name(field(std::string_view("a\0b", 3), 32)), "a");
	EXPECT_EQ(decode_name({}), std::nullopt);
	EXPECT_EQ(decode_name(field("", 1)), "");
	EXPECT_EQ(decode_name(field("a", 1)), std::nullopt);
}

TEST(Qrexec_message, a_name_that_does_not_fit_is_not_written)
{
	Buffer to(8, 0xff);
	EXPECT_TRUE(encode_name("1234567", to));
	EXPECT_EQ(to, field("1234567", 8));
	EXPECT_TRUE(encode_name("", to));
	EXPECT_EQ(to, field("", 8));
	EXPECT_FALSE(encode_name("12345678", to));
	EXPECT_FALSE(encode_name(std::string_view("a\0b", 3), to));
	EXPECT_FALSE(encode_name("", {}));
}

/* The body of a trigger from its parts, not by the code under test. */
Buffer trigger_body(Type type, Trigger const &trigger, std::string_view end)
{
	Buffer const ident = field(trigger.ident, 32);
	Buffer const target = field(trigger.target, type == Type::TRIGGER_SERVICE ? 32 : 64);
	switch (type) {
	case Type::TRIGGER_SERVICE: return field(trigger.service, 64) + target + ident;
	case Type::TRIGGER_SERVICE3: return target + ident + text(trigger.service) + text(end);
	default: return field(trigger.source, 64) + target + ident + text(trigger.service) + text(end);
	}
}

constexpr std::string_view NUL{"\0", 1};
constexpr Type TRIGGERS[] = {Type::TRIGGER_SERVICE, Type::TRIGGER_SERVICE3, Type::TRIGGER_SERVICE4};

TEST(Qrexec_message, a_trigger_is_what_it_was_made_from)
{
	Trigger const full{"remote", "@dispvm:a", "SOCKET17", "qubes.Service+arg"};
	for (uint32_t const version : {2U, 3U, 4U}) {
		Type const type = TRIGGERS[version - 2];
		Buffer const body = trigger_body(type, full, NUL);
		Buffer to(4096);
		size_t const size = encode_trigger(version, full, to);
		ASSERT_EQ(size, Header::BYTES + body.size());
		to.resize(size);
		EXPECT_EQ(to, message(type, body));

		auto const decoded = decode_trigger(type, body);
		ASSERT_TRUE(decoded);
		EXPECT_EQ(decoded->source, version == 4 ? "remote" : "");
		EXPECT_EQ(decoded->target, full.target);
		EXPECT_EQ(decoded->ident, full.ident);
		EXPECT_EQ(decoded->service, full.service);
		EXPECT_EQ(text_of(trigger_ident(type, body)), text_of(field("SOCKET17", 32)));
	}
}

TEST(Qrexec_message, empty_names_but_the_service_are_names)
{
	for (Type const type : TRIGGERS) {
		auto const decoded = decode_trigger(type, trigger_body(type, {.service = "s"}, NUL));
		ASSERT_TRUE(decoded);
		EXPECT_EQ(decoded->target, "");
		EXPECT_EQ(decoded->ident, "");
		EXPECT_FALSE(decode_trigger(type, trigger_body(type, {}, NUL)));
		EXPECT_FALSE(decode_trigger(type, trigger_body(type, {.service = "+arg"}, NUL)));
		Buffer to(4096);
		EXPECT_EQ(encode_trigger(4, {.service = ""}, to), 0U);
		EXPECT_EQ(encode_trigger(4, {.service = "+arg"}, to), 0U);
	}
}

TEST(Qrexec_message, a_trigger_with_a_broken_name_is_nothing_but_keeps_its_ident)
{
	std::string const long_name(64, 'n');
	for (Type const type : TRIGGERS) {
		auto const broken = [&](Trigger const &trigger, std::string_view end = NUL) {
			Buffer const body = trigger_body(type, trigger, end);
			EXPECT_EQ(text_of(trigger_ident(type, body)), text_of(field(trigger.ident, 32)));
			return !decode_trigger(type, body);
		};
		std::string const target(type == Type::TRIGGER_SERVICE ? 32 : 64, 't');
		EXPECT_TRUE(broken({.target = target, .ident = "i", .service = "s"}));
		EXPECT_TRUE(broken({.ident = std::string(32, 'i'), .service = "s"}));
		EXPECT_TRUE(broken({.ident = std::string_view("a\0b", 3), .service = "s"}));
		if (type == Type::TRIGGER_SERVICE) {
			EXPECT_TRUE(broken({.ident = "i", .service = long_name}));
		} else {
			EXPECT_TRUE(broken({.ident = "i", .service = "s"}, ""));
			EXPECT_TRUE(broken({.ident = "i", .service = std::string_view("s\0t", 3)}));
			EXPECT_TRUE(broken({.ident = "i", .service = std::string_view("s\0", 2)}));
		}
		if (type == Type::TRIGGER_SERVICE4) {
			EXPECT_TRUE(broken({.source = long_name, .ident = "i", .service = "s"}));
		}
	}
	EXPECT_FALSE(decode_trigger(Type::HELLO, field("", 200)));
}

TEST(Qrexec_message, a_trigger_of_any_size_is_read_within_its_bounds)
{
	for (Type const type : TRIGGERS)
		for (size_t size = 0; size < 300; ++size) {
			Buffer const body(size, 'a');
			EXPECT_FALSE(decode_trigger(type, body));
			EXPECT_FALSE(decode_trigger(type, Buffer(size, 0)));
		}
}

TEST(Qrexec_message, a_trigger_is_not_written_where_it_does_not_fit)
{
	Buffer to(Header::BYTES + TRIGGER4_BYTES + SERVICE_MAX);
	std::string const name63(63, 'n'), name64(64, 'n'), ident31(31, 'i'), ident32(32, 'i');
	EXPECT_NE(encode_trigger(4, {name63, name63, ident31, "s"}, to), 0U);
	EXPECT_EQ(encode_trigger(4, {name64, name63, ident31, "s"}, to), 0U);
	EXPECT_EQ(encode_trigger(4, {name63, name64, ident31, "s"}, to), 0U);
	EXPECT_EQ(encode_trigger(4, {name63, name63, ident32, "s"}, to), 0U);
	EXPECT_EQ(encode_trigger(2, {"", name63, ident31, "s"}, to), 0U);
	EXPECT_EQ(encode_trigger(2, {"", "t", ident31, name64}, to), 0U);
	EXPECT_NE(encode_trigger(2, {"", "t", ident31, name63}, to), 0U);
	EXPECT_EQ(encode_trigger(1, {"", "t", ident31, "s"}, to), 0U);
	EXPECT_EQ(encode_trigger(4, {"", "t", "i", std::string_view("s\0t", 3)}, to), 0U);

	EXPECT_EQ(encode_trigger(4, {"", "t", "i", std::string(SERVICE_MAX - 1, 's')}, to), to.size());
	to.resize(to.size() + 100);
	EXPECT_EQ(encode_trigger(4, {"", "t", "i", std::string(SERVICE_MAX, 's')}, to), 0U);

	std::string const longest(SERVICE_NAME_MAX, 's');
	Buffer ring(CONTROL_RING_BYTES);
	EXPECT_EQ(encode_trigger(4, {"", "t", "i", longest}, ring), ring.size());
	EXPECT_EQ(encode_trigger(4, {"", "t", "i", longest + "s"}, ring), 0U);
	EXPECT_EQ(encode_trigger(4, {"", "t", "i", longest}, std::span(ring).first(4095)), 0U);
	EXPECT_EQ(encode_trigger(4, {"", "t", "i", "s"}, {}), 0U);
}

} // namespace
} // namespace bulkhead::qrexec
