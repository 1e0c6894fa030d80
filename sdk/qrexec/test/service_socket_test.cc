#include "sdk/qrexec/service_socket.h"
#include "sdk/qrexec/test/support.h"

#include <sys/stat.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
using namespace std::string_literals;

class Service_socket_test : public testing::Test
{
protected:
	Place _place{};
	std::string const _path = _place.path() + "/test.Service";
	Service_socket _service{};

	Owned_fd _connect(std::string_view said = {})
	{
		Owned_fd socket;
		EXPECT_EQ(connect_to_local(_path, socket), 0);
		if (!said.empty()) say(socket, said);
		return socket;
	}
	std::unique_ptr<Service_request> _accept()
	{
		std::unique_ptr<Service_request> request;
		EXPECT_EQ(_service.accept(request), 0);
		return request;
	}
};

TEST_F(Service_socket_test, tells_of_a_call_and_leaves_the_stream_alone)
{
	ASSERT_EQ(_service.listen(_path), 0);
	EXPECT_FALSE(readable(_service.fd()));
	Owned_fd const caller = _connect("test.Service+a+b work\0input"s);
	auto const request = _accept();
	ASSERT_TRUE(request);
	EXPECT_EQ(request->service, "test.Service");
	EXPECT_EQ(request->argument, "a+b");
	EXPECT_EQ(request->source, "work");
	EXPECT_EQ(request->target_kind, Target_kind::NONE);
	EXPECT_EQ(request->user, getuid());
	EXPECT_EQ(hear(request->stream, 5), "input");
	say(request->stream, "output");
	request->stream.reset();
	EXPECT_EQ(hear(caller, 100), "output");
	EXPECT_EQ(_accept(), nullptr);
}

TEST_F(Service_socket_test, tells_what_a_host_was_called)
{
	ASSERT_EQ(_service.listen(_path), 0);
	Owned_fd const a = _connect("s+ work keyword adminvm\0"s);
	auto const first = _accept();
	ASSERT_TRUE(first);
	EXPECT_EQ(first->argument, "");
	EXPECT_EQ(first->target_kind, Target_kind::KEYWORD);
	EXPECT_EQ(first->target, "adminvm");
	Owned_fd const b = _connect("s work name dom0\0"s);
	auto const second = _accept();
	ASSERT_TRUE(second);
	EXPECT_FALSE(second->argument);
	EXPECT_EQ(second->target_kind, Target_kind::NAME);
}

TEST_F(Service_socket_test, takes_an_announcement_byte_by_byte)
{
	ASSERT_EQ(_service.listen(_path), 0);
	Owned_fd const caller = _connect();
	for (char const byte : "s work"s) {
		EXPECT_EQ(_accept(), nullptr);
		say(caller, {&byte, 1});
	}
	EXPECT_EQ(_accept(), nullptr);
	EXPECT_FALSE(readable(_service.fd()));
	say(caller, "\0x"s);
	auto const request = _accept();
	ASSERT_TRUE(request);
	EXPECT_EQ(hear(request->stream, 1), "x");
}

TEST_F(Service_socket_test, lets_nobody_wait_for_those_who_say_nothing)
{
	ASSERT_EQ(_service.listen(_path), 0);
	std::vector<Owned_fd> silent;
	for (size_t i = 0; i < Service_socket::PENDING_MAX + 1; ++i) {
		silent.push_back(_connect());
		EXPECT_EQ(_accept(), nullptr);
	}
	EXPECT_EQ(hear(silent.front(), 1), ""); // has made room
	EXPECT_FALSE(readable(silent[1].value()));
	Owned_fd const caller = _connect("s work\0"s);
	EXPECT_TRUE(_accept());
	say(silent.back(), "late work\0"s);
	auto const late = _accept();
	ASSERT_TRUE(late);
	EXPECT_EQ(late->service, "late");
}

TEST_F(Service_socket_test, turns_nonsense_away)
{
	ASSERT_EQ(_service.listen(_path), 0);
	for (std::string const &text :
		{"\0"s, "s\0"s, "s \0"s, " work\0"s, "+a work\0"s, "s/t work\0"s, ".s work\0"s,
			"s work vault\0"s, "s work name\0"s, "s work name a b\0"s, "s work type a\0"s}) {
		Owned_fd const caller = _connect(text);
		EXPECT_EQ(_accept(), nullptr) << text;
		EXPECT_EQ(hear(caller, 1), "") << text;
		EXPECT_NE(_service.message(), "");
	}
	Owned_fd half = _connect("s work");
	half.reset();
	EXPECT_EQ(_accept(), nullptr);
	EXPECT_FALSE(readable(_service.fd()));
}

TEST_F(Service_socket_test, takes_no_announcement_that_is_too_long)
{
	ASSERT_EQ(_service.listen(_path), 0);
	for (size_t const size : {COMMAND_MAX - 10, COMMAND_MAX + 100}) {
		Owned_fd const caller = _connect();
		std::string const text = "s+" + std::string(size - 7, 'a') + " work";
		std::unique_ptr<Service_request> request;
		for (size_t said = 0; said < text.size(); said += 5000) {
			std::string const bite = text.substr(said, 5000);
			if (send(caller.value(), bite.data(), bite.size(), MSG_NOSIGNAL) < 0) break;
			EXPECT_EQ(_accept(), nullptr);
		}
		static_cast<void>(send(caller.value(), "", 1, MSG_NOSIGNAL));
		EXPECT_EQ(_accept(), nullptr); // the service's name is too long in any case
		EXPECT_EQ(hear(caller, 1), "");
	}
	// The longest name that there is.
	std::string const name = "s+" + std::string(SERVICE_MAX - 3, 'a');
	Owned_fd const caller = _connect();
	for (size_t said = 0; said < name.size(); said += 5000) {
		say(caller, name.substr(said, 5000));
		EXPECT_EQ(_accept(), nullptr);
	}
	say(caller, " work\0"s);
	auto const request = _accept();
	ASSERT_TRUE(request);
	EXPECT_EQ(request->argument->size(), SERVICE_MAX - 3);
}

TEST_F(Service_socket_test, hands_out_connections_that_need_not_say_anything)
{
	ASSERT_EQ(_service.listen(_path, 0600, false), 0);
	Owned_fd const caller = _connect();
	auto const request = _accept();
	ASSERT_TRUE(request);
	EXPECT_EQ(request->service, "");
	say(caller, "input");
	EXPECT_EQ(hear(request->stream, 5), "input");
}

TEST_F(Service_socket_test, has_the_rights_that_it_was_given)
{
	ASSERT_EQ(_service.listen(_path, 0640), 0);
	struct stat file{};
	ASSERT_EQ(stat(_path.c_str(), &file), 0);
	EXPECT_EQ(file.st_mode & 07777, 0640u);
}

TEST_F(Service_socket_test, removes_its_own_socket_only)
{
	ASSERT_EQ(_service.listen(_path), 0);
	Service_socket second;
	EXPECT_EQ(second.listen(_path), EADDRINUSE);
	EXPECT_NE(second.message(), "");
	std::filesystem::remove(_path);
	ASSERT_EQ(second.listen(_path), 0);
	_service.close();
	EXPECT_TRUE(std::filesystem::exists(_path));
	second.close();
	EXPECT_FALSE(std::filesystem::exists(_path));
	std::unique_ptr<Service_request> request;
	EXPECT_EQ(second.accept(request), EBADF);
}

} // namespace
} // namespace bulkhead::qrexec
