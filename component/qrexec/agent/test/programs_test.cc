#include "component/qrexec/agent/programs.h"
#include "platform/linux/gate.h"

#include <array>
#include <deque>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::qrexec {
namespace {

using linux_host::Loop;
using linux_host::Owned_fd;

struct Noted final : Programs::Events
{
	std::deque<uint64_t> questions{};
	std::deque<std::pair<Exec_params, uint64_t>> ended_calls{};

	void asked(uint64_t number) override { questions.push_back(number); }
	void program_ended(Exec_params call, uint64_t daemon) override
	{
		ended_calls.emplace_back(call, daemon);
	}
};

class Requests : public testing::Test
{
protected:
	Loop _loop{};
	Noted _noted{};
	Programs _programs{_loop, _noted};

	Owned_fd program()
	{
		std::array<int, 2> ends{};
		EXPECT_EQ(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
		_programs.add(Owned_fd(ends[0]));
		return Owned_fd(ends[1]);
	}

	static std::string question(std::string_view service)
	{
		std::array<uint8_t, 2 * CONTROL_RING_BYTES> bytes{};
		size_t const size = encode_trigger(4, {"", "vault", "SOCKET", service}, bytes);
		return {reinterpret_cast<char const *>(bytes.data()), size};
	}

	void send(Owned_fd const &to, std::string_view text)
	{
		ASSERT_EQ(write(to.value(), text.data(), text.size()), ssize_t(text.size()));
	}

	template <typename DONE>
	void until(DONE done)
	{
		while (!done()) _loop.poll(NEVER_US);
	}

	uint64_t ask(Owned_fd const &from, std::string_view service)
	{
		send(from, question(service));
		until([&] { return !_noted.questions.empty(); });
		uint64_t const number = _noted.questions.front();
		_noted.questions.pop_front();
		return number;
	}

	// What comes, up to the end if that comes first.
	std::string hear(Owned_fd const &from, size_t size)
	{
		std::string text;
		char byte = 0;
		while (text.size() < size) {
			ssize_t const got = read(from.value(), &byte, 1);
			if (got == 0) break;
			if (got == 1)
				text += byte;
			else
				_loop.poll(NEVER_US);
		}
		return text;
	}
};

TEST_F(Requests, have_idents_that_name_them)
{
	EXPECT_EQ(Programs::ident_of(17), "SOCKET17");
	EXPECT_EQ(Programs::number_of("SOCKET17"), 17u);
	EXPECT_EQ(Programs::number_of("SOCKET18446744073709551615"), ~uint64_t{0});
	for (char const *const wrong : {"", "SOCKET", "SOCKET-1", "SOCKET01", "SOCKET1x", "socket1",
			 "SOCKET 1", "SOCKET18446744073709551616"})
		EXPECT_FALSE(Programs::number_of(wrong)) << wrong;
}

TEST_F(Requests, are_asked_and_accepted)
{
	Owned_fd const one = program();
	uint64_t const number = ask(one, "test.Add+x");
	auto const wanted = _programs.question(number);
	ASSERT_TRUE(wanted);
	EXPECT_EQ(wanted->trigger.target, "vault");
	EXPECT_EQ(wanted->trigger.service, "test.Add+x");
	EXPECT_TRUE(_programs.accept(wanted->ident, {7, 513}, 1));
	EXPECT_EQ(hear(one, 8), std::string("\7\0\0\0\1\2\0\0", 8));
	EXPECT_FALSE(_programs.accept(wanted->ident, {7, 514}, 1)) << "answered once";
	EXPECT_FALSE(_programs.refuse(wanted->ident));
}

TEST_F(Requests, are_given_the_end_of_a_channel)
{
	Owned_fd const one = program();
	uint64_t const number = ask(one, "test.Add+x");
	auto const pair = linux_host::make_channel({.to_client = 4096, .to_server = 4096}, 513);
	ASSERT_TRUE(pair.ok());
	EXPECT_TRUE(
		_programs.accept(_programs.question(number)->ident, {7, 513}, 0, &pair.value().server));
	std::array<uint8_t, 16> bytes{};
	std::array<Owned_fd, 4> descriptors{};
	auto const got = linux_host::receive_with_descriptors(
		one.value(), bytes, descriptors, linux_host::Gate_takes::DESCRIPTORS);
	ASSERT_TRUE(got.ok());
	EXPECT_EQ(got.value().bytes, 8u);
	EXPECT_EQ(got.value().descriptors, 3u);
}

TEST_F(Requests, are_refused_where_the_end_cannot_be_sent)
{
	Owned_fd const one = program();
	uint64_t const number = ask(one, "test.Add+x");
	linux_host::Channel_end const none{};
	EXPECT_FALSE(_programs.accept(_programs.question(number)->ident, {7, 513}, 0, &none));
	EXPECT_EQ(hear(one, 8), "");
}

TEST_F(Requests, of_one_user_leave_places_for_others)
{
	if (geteuid() != 0) GTEST_SKIP() << "needs another user";
	constexpr uid_t NOBODY = 65534;
	Programs few{_loop, _noted, 8};
	std::vector<Owned_fd> sockets;
	auto const asks_as = [&](uid_t user) {
		std::array<int, 2> ends{};
		EXPECT_EQ(seteuid(user), 0);
		EXPECT_EQ(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
		EXPECT_EQ(seteuid(0), 0);
		sockets.emplace_back(ends[1]);
		size_t const before = few.size();
		few.add(Owned_fd(ends[0]));
		if (few.size() > before) ask(sockets.back(), "test.Add");
		return few.size() > before;
	};
	for (int i = 0; i < 6; ++i) EXPECT_TRUE(asks_as(NOBODY)) << i;
	EXPECT_FALSE(asks_as(NOBODY));
	EXPECT_TRUE(asks_as(NOBODY - 1));
	EXPECT_TRUE(asks_as(0));
	EXPECT_FALSE(asks_as(NOBODY - 1));
	EXPECT_FALSE(asks_as(0));
}

TEST_F(Requests, are_refused_by_an_end)
{
	Owned_fd const one = program();
	uint64_t const number = ask(one, "test.Add");
	EXPECT_TRUE(_programs.refuse(Programs::ident_of(number)));
	EXPECT_EQ(hear(one, 1), "");
	EXPECT_FALSE(_programs.question(number));
}

TEST_F(Requests, end_with_their_programs)
{
	Owned_fd one = program();
	uint64_t const number = ask(one, "test.Add");
	one.reset();
	until([&] { return _programs.size() == 0; });
	EXPECT_FALSE(_programs.accept(Programs::ident_of(number), {7, 513}, 1));
	EXPECT_TRUE(_noted.ended_calls.empty());
}

TEST_F(Requests, whose_program_waits_with_one_way_shut_still_get_their_answer)
{
	Owned_fd const one = program();
	uint64_t const number = ask(one, "test.Add");
	shutdown(one.value(), SHUT_WR);
	_loop.poll(0);
	EXPECT_TRUE(_programs.accept(Programs::ident_of(number), {7, 513}, 1));
	EXPECT_EQ(hear(one, 8).size(), 8u);
}

TEST_F(Requests, tell_the_end_of_calls_with_the_daemon_that_began_them)
{
	Owned_fd one = program();
	uint64_t const number = ask(one, "test.Add");
	ASSERT_TRUE(_programs.accept(Programs::ident_of(number), {7, 513}, 3));
	one.reset();
	until([&] { return !_noted.ended_calls.empty(); });
	EXPECT_EQ(_noted.ended_calls.front().first, (Exec_params{7, 513}));
	EXPECT_EQ(_noted.ended_calls.front().second, 3u);
	EXPECT_EQ(_programs.size(), 0u);
}

TEST_F(Requests, without_an_answer_are_asked_again_in_their_order)
{
	Owned_fd const one = program(), two = program(), three = program(), half = program();
	uint64_t const a = ask(one, "a"), b = ask(two, "b"), c = ask(three, "c");
	ASSERT_TRUE(_programs.accept(Programs::ident_of(b), {7, 513}, 1));
	send(half, question("d").substr(0, 20));
	_programs.ask_again();
	EXPECT_EQ(_noted.questions, (std::deque{a, c}));
}

TEST_F(Requests, that_are_incomplete_keep_nobody_waiting)
{
	Owned_fd const slow = program(), other = program();
	std::string const all = question("slow");
	send(slow, all.substr(0, 3));
	uint64_t const first = ask(other, "other");
	EXPECT_EQ(_programs.question(first)->trigger.service, "other");
	for (char const byte : all.substr(3)) {
		send(slow, {&byte, 1});
		_loop.poll(0);
	}
	until([&] { return !_noted.questions.empty(); });
	EXPECT_EQ(_programs.question(_noted.questions.front())->trigger.service, "slow");
}

TEST_F(Requests, that_could_not_be_carried_are_refused_though_they_are_still_being_sent)
{
	Owned_fd const one = program();
	std::string text = question("x");
	uint32_t const size = TRIGGER4_BYTES + 60000;
	encode_number(size, std::span<uint8_t, 4>(reinterpret_cast<uint8_t *>(text.data()) + 4, 4));
	send(one, text);
	EXPECT_EQ(hear(one, 1), "");
	send(one, std::string(50000, 'x')); // and nobody tells it that this is an error
	until([&] { return _programs.size() == 1; });
	uint64_t const number = ask(program(), "test.Add");
	EXPECT_TRUE(_noted.questions.empty());
	static_cast<void>(number);
}

TEST_F(Requests, of_wrong_shape_are_refused)
{
	std::string no_service = question("x"), bad_type = question("x"), no_end = question("xy");
	no_service[Header::BYTES + TRIGGER4_BYTES] = '\0';
	bad_type[0] = '\0';
	no_end.back() = 'z';
	for (std::string const &wrong : {no_service, bad_type, no_end}) {
		Owned_fd const one = program();
		send(one, wrong);
		EXPECT_EQ(hear(one, 1), "");
	}
	EXPECT_TRUE(_noted.questions.empty());
}

} // namespace
} // namespace bulkhead::qrexec
