#include "component/qrexec/host/local_end.h"
#include "component/qrexec/host/test/support.h"

#include <cstdlib>
#include <sys/wait.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
using Kind = Local_stream::Kind;

std::string read_once(Local_stream &stream, ssize_t &n)
{
	uint8_t a[3], b[5];
	n = stream.read({a, b});
	std::string text(bulkhead::text_of(Bytes(a)));
	text += bulkhead::text_of(Bytes(b));
	return text.substr(0, n > 0 ? size_t(n) : 0);
}

void expect_no_waiting(Local_stream &in, Local_stream &out)
{
	ssize_t n = 0;
	EXPECT_EQ(read_once(in, n), "");
	EXPECT_EQ(n, -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(out.write(bytes_of("hello")), 5);
	EXPECT_EQ(read_once(in, n), "hello");
	std::string const much(1 << 20, 'x');
	while ((n = out.write(bytes_of(much))) > 0) {}
	EXPECT_EQ(errno, EAGAIN);
}

TEST(Local_stream, of_a_pipe_never_waits)
{
	Ends ends = make_pipe_ends();
	Owned_fd const shared_in = duplicate(ends.first), shared_out = duplicate(ends.second);
	Local_stream in, out;
	in.adopt(std::move(ends.first), true);
	out.adopt(std::move(ends.second), false);
	EXPECT_EQ(in.kind(), Kind::NONBLOCKING);
	expect_no_waiting(in, out);
	EXPECT_FALSE(::fcntl(shared_in.value(), F_GETFL) & O_NONBLOCK);
	EXPECT_FALSE(::fcntl(shared_out.value(), F_GETFL) & O_NONBLOCK);
}

TEST(Local_stream, of_a_socket_never_waits)
{
	Ends ends = make_socket_ends();
	Owned_fd const shared = duplicate(ends.first);
	Local_stream in, out;
	in.adopt(std::move(ends.first), true);
	out.adopt(std::move(ends.second), false);
	EXPECT_EQ(in.kind(), Kind::SOCKET);
	expect_no_waiting(in, out);
	EXPECT_FALSE(::fcntl(shared.value(), F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(out.shut_down(SHUT_WR));
}

TEST(Local_stream, of_a_terminal_never_waits)
{
	Owned_fd master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
	if (!master) GTEST_SKIP() << "no pseudo terminals here";
	ASSERT_EQ(::grantpt(master.value()), 0);
	ASSERT_EQ(::unlockpt(master.value()), 0);
	char name[64];
	ASSERT_EQ(::ptsname_r(master.value(), name, sizeof(name)), 0);
	Owned_fd terminal{::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)};
	ASSERT_TRUE(terminal);
	Owned_fd const shared = duplicate(terminal);
	Local_stream in;
	in.adopt(std::move(terminal), true);
	ssize_t n = 0;
	read_once(in, n);
	EXPECT_EQ(n, -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(::write(master.value(), "line\n", 5), 5);
	EXPECT_EQ(read_once(in, n), "line\n");
	EXPECT_FALSE(::fcntl(shared.value(), F_GETFL) & O_NONBLOCK);
	EXPECT_FALSE(in.shut_down(SHUT_WR));
}

TEST(Local_stream, keeps_the_number_of_standard_input)
{
	// In a process of its own: this one's standard input is somebody else's.
	pid_t const child = ::fork();
	if (child == 0) {
		Ends ends = make_pipe_ends();
		if (::dup2(ends.first.value(), 0) != 0) ::_exit(1);
		Local_stream in;
		in.adopt(Owned_fd{0}, true);
		bool const good = in.fd() == 0 && in.kind() == Kind::NONBLOCKING &&
			(::fcntl(0, F_GETFL) & O_NONBLOCK) &&
			!(::fcntl(ends.first.value(), F_GETFL) & O_NONBLOCK);
		::_exit(good ? 0 : 2);
	}
	int status = 0;
	ASSERT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

TEST(Replace_characters, keeps_text)
{
	for (unsigned c = 0; c < 256; ++c) {
		uint8_t text[] = {static_cast<uint8_t>(c)};
		replace_characters(text);
		bool const kept =
			(c >= 32 && c < 127) || c == '\t' || c == '\n' || c == '\r' || c == '\b' || c == '\a';
		EXPECT_EQ(text[0], kept ? c : '_') << c;
	}
}

} // namespace
} // namespace bulkhead::qrexec
