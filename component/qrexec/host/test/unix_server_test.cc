#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "component/qrexec/host/test/support.h"
#include "component/qrexec/host/unix_server.h"

#include <csignal>
#include <fstream>
#include <sys/resource.h>
#include <sys/un.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;

class Server : public testing::Test, public Unix_server::Accepted
{
protected:
	Place _place{};
	Loop _loop{};
	std::string const _path = _place.path() + "/socket";
	std::vector<Owned_fd> _accepted{};

	void accepted(Unix_server &, Owned_fd connection) override
	{
		_accepted.push_back(std::move(connection));
	}

	Owned_fd _connect()
	{
		Owned_fd socket;
		EXPECT_EQ(connect_to_local(_path, socket), 0);
		return socket;
	}

	void _until_accepted(size_t count)
	{
		while (_accepted.size() < count)
			_loop.poll(_loop.clock().now_us() + uint64_t{HANG_MS} * 1000);
	}
};

TEST_F(Server, accepts_and_removes_its_socket_in_the_end)
{
	{
		Unix_server server{_loop, *this};
		ASSERT_TRUE(server.start(_path, 0660).ok()) << server.message();
		struct stat about{};
		ASSERT_EQ(::lstat(_path.c_str(), &about), 0);
		EXPECT_EQ(about.st_mode & 0777, 0660U);
		Owned_fd const a = _connect(), b = _connect();
		_until_accepted(2);
		EXPECT_TRUE(::fcntl(_accepted[0].value(), F_GETFL) & O_NONBLOCK);
		EXPECT_TRUE(::fcntl(_accepted[0].value(), F_GETFD) & FD_CLOEXEC);
	}
	EXPECT_NE(::access(_path.c_str(), F_OK), 0);
}

TEST_F(Server, replaces_a_socket_that_was_left_behind)
{
	{
		Owned_fd left;
		ASSERT_EQ(listen_locally(_path, 0600, left), 0);
	}
	Unix_server server{_loop, *this};
	ASSERT_TRUE(server.start(_path, 0600).ok());
	Owned_fd const a = _connect();
	_until_accepted(1);
}

TEST_F(Server, leaves_a_socket_alone_that_is_served)
{
	Unix_server first{_loop, *this};
	ASSERT_TRUE(first.start(_path, 0600).ok());
	{
		Unix_server second{_loop, *this};
		EXPECT_FALSE(second.start(_path, 0600).ok());
		EXPECT_NE(second.message().find(_path), std::string::npos);
	}
	Owned_fd const a = _connect();
	EXPECT_EQ(::access(_path.c_str(), F_OK), 0);
}

TEST_F(Server, leaves_a_file_alone)
{
	std::ofstream(_path) << "important";
	Unix_server server{_loop, *this};
	EXPECT_FALSE(server.start(_path, 0600).ok());
	std::string text;
	std::ifstream(_path) >> text;
	EXPECT_EQ(text, "important");
}

TEST_F(Server, does_not_remove_the_socket_of_a_successor)
{
	auto first = std::make_unique<Unix_server>(_loop, *this);
	ASSERT_TRUE(first->start(_path, 0600).ok());
	::unlink(_path.c_str());
	Unix_server second{_loop, *this};
	ASSERT_TRUE(second.start(_path, 0600).ok());
	first.reset();
	EXPECT_EQ(::access(_path.c_str(), F_OK), 0);
}

TEST_F(Server, says_what_is_wrong_with_a_path)
{
	Unix_server server{_loop, *this};
	EXPECT_FALSE(server.start(_place.path() + "/no/folder", 0600).ok());
	EXPECT_NE(server.message().find("/no/folder"), std::string::npos);
}

TEST_F(Server, lets_callers_wait_while_there_are_no_descriptors)
{
	Unix_server server{_loop, *this};
	ASSERT_TRUE(server.start(_path, 0600).ok());
	Owned_fd const a = _connect();
	rlimit before{};
	ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
	Owned_fd free{::dup(0)};
	rlimit const none{.rlim_cur = static_cast<rlim_t>(free.value()), .rlim_max = before.rlim_max};
	free.reset();
	std::vector<Owned_fd> all;
	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
	while (true) {
		Owned_fd fd{::dup(0)};
		if (!fd) break;
		all.push_back(std::move(fd));
	}
	_loop.poll(0);
	// It sleeps until its time, and doesn't look all the while.
	uint64_t const begun = _loop.clock().now_us();
	_loop.poll(begun + 10'000);
	EXPECT_GE(_loop.clock().now_us(), begun + 10'000);
	EXPECT_TRUE(_accepted.empty());
	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
	_until_accepted(1);
}

TEST(Log, writes_one_printable_line)
{
	testing::internal::CaptureStderr();
	errno = ENOENT;
	log("cannot open ", std::string("x\n\x1b[31m\xff"), ": ", 42);
	EXPECT_EQ(errno, ENOENT);
	EXPECT_EQ(testing::internal::GetCapturedStderr(),
		std::string(program_invocation_short_name) + ": cannot open x__[31m_: 42\n");
}

TEST(Log, cuts_a_line_that_is_too_long)
{
	testing::internal::CaptureStderr();
	log(std::string(5000, 'a'));
	std::string const line = testing::internal::GetCapturedStderr();
	EXPECT_LE(line.size(), LOG_LINE_MAX + 64);
	EXPECT_EQ(line.back(), '\n');
}

TEST(Process, tells_systemd_that_it_is_ready)
{
	Place place;
	EXPECT_TRUE(notify_ready());
	for (bool const abstract : {false, true}) {
		std::string const path = place.path() + "/notify";
		sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
		path.copy(name.sun_path, path.size());
		if (abstract) name.sun_path[0] = 0;
		Owned_fd const listener{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
		auto const size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
		ASSERT_EQ(::bind(listener.value(), reinterpret_cast<sockaddr *>(&name), size), 0);
		::setenv("NOTIFY_SOCKET", (abstract ? "@" + path.substr(1) : path).c_str(), 1);
		EXPECT_TRUE(notify_ready());
		char text[32];
		ssize_t const n = ::recv(listener.value(), text, sizeof(text), MSG_DONTWAIT);
		EXPECT_EQ(std::string(text, size_t(std::max<ssize_t>(n, 0))), "READY=1");
		EXPECT_FALSE(::getenv("NOTIFY_SOCKET"));
		if (!abstract) ::unlink(path.c_str());
	}
}

TEST(Process, says_if_nobody_listens_to_it)
{
	::setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
	EXPECT_FALSE(notify_ready());
}

TEST(Process, raises_its_limit_of_descriptors)
{
	rlimit before{};
	ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
	rlimit const low{.rlim_cur = 64, .rlim_max = before.rlim_max};
	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
	EXPECT_EQ(raise_descriptor_limit(128), std::min<rlim_t>(128, before.rlim_max));
	EXPECT_EQ(raise_descriptor_limit(100), std::min<rlim_t>(128, before.rlim_max));
	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

} // namespace
} // namespace bulkhead::qrexec
