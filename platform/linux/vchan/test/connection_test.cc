#include "platform/linux/clock.h"
#include "platform/linux/vchan/connection.h"
#include "platform/linux/vchan/hello.h"

#include <cerrno>
#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/memfd.h>
#include <linux/seccomp.h>
#include <memory>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

using vchan::State;

Bytes bytes_of(std::string_view text)
{
	return {reinterpret_cast<uint8_t const *>(text.data()), text.size()};
}

std::string read_all(vchan::Endpoint &endpoint)
{
	std::string text;
	uint8_t buffer[64];
	while (true) {
		auto const got = endpoint.try_read(Mutable_bytes(buffer));
		if (!got.ok() || got.value() == 0) return text;
		text.append(reinterpret_cast<char const *>(buffer), got.value());
	}
}

/* A directory of its own, and a view of this process's descriptors. */
class Connection_test : public testing::Test
{
protected:
	static constexpr Channel_name NAME{7, 9, 512};
	static constexpr vchan::Sizes SIZES{4096, 4096};

	std::string directory = []() -> std::string {
		char name[] = "/tmp/connection_test.XXXXXX";
		return mkdtemp(name) ? name : "";
	}();

	~Connection_test() override
	{
		EXPECT_TRUE(std::filesystem::is_empty(directory)) << "something is left in " << directory;
		std::filesystem::remove_all(directory);
	}

	static size_t open_descriptors()
	{
		size_t count = 0;
		for (auto const &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
			(void)entry;
			++count;
		}
		return count;
	}

	/* Looks on both sides until they have met. */
	static void meet(Connection &server, Connection &client)
	{
		for (unsigned i = 0; i < 100 && !(server.joined() && client.joined()); ++i) {
			ASSERT_TRUE(server.look().ok()) << server.message();
			ASSERT_TRUE(client.look().ok()) << client.message();
		}
		ASSERT_TRUE(server.joined() && client.joined());
	}

	/* A client that speaks for itself. */
	Owned_fd raw_client()
	{
		Directory place;
		EXPECT_TRUE(place.open(directory).ok()) << place.message();
		auto socket = place.connect(NAME);
		EXPECT_TRUE(socket.ok()) << place.message();
		return socket.ok() ? std::move(socket.value()) : Owned_fd();
	}
};

bool readable(int fd)
{
	pollfd waiting{fd, POLLIN, 0};
	return poll(&waiting, 1, 0) == 1;
}

TEST_F(Connection_test, joins_a_client_that_comes_after_its_server)
{
	Connection server, client;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok()) << server.message();
	EXPECT_EQ(server.endpoint()->state(), State::WAITING);
	ASSERT_TRUE(client.connect(NAME, directory).ok()) << client.message();
	EXPECT_TRUE(readable(server.fd()));
	meet(server, client);
	EXPECT_EQ(server.endpoint()->state(), State::CONNECTED);
	EXPECT_EQ(client.endpoint()->state(), State::CONNECTED);
	EXPECT_EQ(client.peer_user(), geteuid());
	EXPECT_EQ(server.peer_user(), geteuid());
	EXPECT_TRUE(std::filesystem::is_empty(directory)) << "a name is for who waits";
}

TEST_F(Connection_test, joins_a_client_that_came_first)
{
	Connection server, client;
	ASSERT_TRUE(client.connect(NAME, directory).ok()) << client.message();
	ASSERT_TRUE(client.look().ok());
	EXPECT_EQ(client.endpoint(), nullptr);
	EXPECT_FALSE(readable(client.fd()));
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok()) << server.message();
	EXPECT_TRUE(readable(client.fd()));
	meet(server, client);
}

/* Of a process of another user, as the limit is each user's: nothing that went wrong, or what. */
char const *search_without_inotify()
{
	constexpr uid_t STRANGER = 54321;
	if (setgid(STRANGER) != 0 || setuid(STRANGER) != 0) return "can't become another user";
	char place[] = "/tmp/connection_test.XXXXXX";
	if (!mkdtemp(place)) return "no directory";
	rlimit const limit{4096, 4096};
	setrlimit(RLIMIT_NOFILE, &limit);
	std::vector<int> taken;
	for (int fd = 0; (fd = inotify_init1(IN_CLOEXEC)) >= 0;) taken.push_back(fd);
	if (taken.size() > 4000) return nullptr; // the limit of instances can't be reached here
	Connection server, client;
	bool const begun = client.connect({7, 9, 512}, place).ok() && !client.joined() &&
		server.listen({7, 9, 512}, {4096, 4096}, place).ok();
	for (unsigned i = 0; begun && i < 1000 && !client.joined(); ++i) {
		pollfd waiting[] = {{client.fd(), POLLIN, 0}, {server.fd(), POLLIN, 0}};
		if (poll(waiting, 2, 60'000) <= 0) return "nothing tells when to look";
		if (!client.look().ok() || !server.look().ok()) return "a look failed";
	}
	std::filesystem::remove_all(place);
	return client.joined() ? nullptr : "they didn't meet";
}

TEST_F(Connection_test, joins_a_client_that_came_first_where_inotify_is_used_up)
{
	if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
	pid_t const child = fork();
	if (child == 0) {
		char const *const wrong = search_without_inotify();
		if (wrong) fprintf(stderr, "%s\n", wrong);
		_exit(wrong ? 1 : 0);
	}
	int status = -1;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

TEST_F(Connection_test, carries_bytes_both_ways_and_what_came_before_the_client)
{
	Connection server, client;
	ASSERT_TRUE(server.listen(NAME, {64, 128}, directory).ok());
	EXPECT_TRUE(server.endpoint()->try_write(bytes_of("early")).ok());
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	meet(server, client);
	EXPECT_EQ(client.endpoint()->in_capacity(), 64u);
	EXPECT_EQ(client.endpoint()->out_capacity(), 128u);
	EXPECT_EQ(read_all(*client.endpoint()), "early");
	EXPECT_TRUE(client.endpoint()->try_write(bytes_of("answer")).ok());
	EXPECT_EQ(read_all(*server.endpoint()), "answer");
}

TEST_F(Connection_test, rings_only_who_sleeps_and_until_it_looks)
{
	Connection server, client;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	meet(server, client);
	ASSERT_TRUE(server.look().ok());
	EXPECT_FALSE(readable(server.fd()));
	ASSERT_TRUE(client.endpoint()->try_write(bytes_of("a")).ok());
	EXPECT_FALSE(readable(server.fd())) << "nobody waits";
	for (unsigned i = 0; i < 3; ++i) {
		server.endpoint()->arm(vchan::sleep_for::DATA);
		ASSERT_TRUE(client.endpoint()->try_write(bytes_of("b")).ok());
		EXPECT_TRUE(readable(server.fd()));
		EXPECT_TRUE(server.wait().value());
		EXPECT_FALSE(readable(server.fd()));
	}
	EXPECT_EQ(client.endpoint()->rings(), 3u);
	EXPECT_FALSE(server.wait(0).value()) << "nothing happens";
}

TEST_F(Connection_test, tells_the_end_and_then_the_death_of_the_peer)
{
	Connection server;
	{
		Connection client;
		ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
		ASSERT_TRUE(client.connect(NAME, directory).ok());
		meet(server, client);
		ASSERT_TRUE(client.endpoint()->try_write(bytes_of("last words")).ok());
	}
	EXPECT_TRUE(readable(server.fd()));
	ASSERT_TRUE(server.look().ok());
	EXPECT_EQ(server.endpoint()->state(), State::CLOSED);
	EXPECT_EQ(read_all(*server.endpoint()), "last words");
	EXPECT_EQ(server.endpoint()->try_write(bytes_of("x")).error(), vchan::Error::PEER_CLOSED);
}

TEST_F(Connection_test, hears_of_a_killed_peer)
{
	Connection server;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
	pid_t const child = fork();
	if (child == 0) {
		// The server's copy in this process isn't closed but forgotten, as by exec.
		Connection client;
		bool ok = client.connect(NAME, directory).ok();
		while (ok && !client.joined()) ok = client.wait().ok();
		if (ok) (void)client.endpoint()->try_write(bytes_of("committed"));
		kill(getpid(), SIGKILL);
	}
	while (!server.joined()) ASSERT_TRUE(server.wait().ok()) << server.message();
	while (server.endpoint()->state() != State::DEAD) ASSERT_TRUE(server.wait().ok());
	waitpid(child, nullptr, 0);
	EXPECT_EQ(read_all(*server.endpoint()), "committed");
	uint8_t byte;
	EXPECT_EQ(
		server.endpoint()->try_read(Mutable_bytes(&byte, 1)).error(), vchan::Error::PEER_DEAD);
}

TEST_F(Connection_test, leaves_no_descriptor_and_no_name_behind)
{
	size_t const before = open_descriptors();
	{
		Connection server, client, lonely, searching;
		ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
		ASSERT_TRUE(client.connect(NAME, directory).ok());
		meet(server, client);
		EXPECT_EQ(open_descriptors(), before + 2 * 3u) << "each side: epoll and two sockets";
		ASSERT_TRUE(lonely.listen({1, 2, 3}, SIZES, directory).ok());
		ASSERT_TRUE(searching.connect({1, 2, 4}, directory).ok());
	}
	EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Connection_test, serves_one_client_only)
{
	Connection server, client, second;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	ASSERT_TRUE(second.connect(NAME, directory).ok());
	meet(server, client);
	for (unsigned i = 0; i < 10; ++i) ASSERT_TRUE(second.look().ok()) << second.message();
	EXPECT_FALSE(second.joined()) << "it waits for the next server";
	Connection next;
	ASSERT_TRUE(next.listen(NAME, SIZES, directory).ok()) << next.message();
	meet(next, second);
}

TEST_F(Connection_test, refuses_names_that_make_no_sense)
{
	Connection a, b, c, d, e, f;
	EXPECT_EQ(a.listen({1, 1, 1}, SIZES, directory).error(), Connect_error::SELF);
	EXPECT_EQ(b.connect({-1, 1, 1}, directory).error(), Connect_error::BAD_NAME);
	EXPECT_EQ(c.connect({1, 2, -3}, directory).error(), Connect_error::BAD_NAME);
	EXPECT_EQ(d.listen(NAME, {0, 0}, directory).error(), Connect_error::BAD_SIZE);
	EXPECT_EQ(e.listen(NAME, {4096, (64u << 20) + 1}, directory).error(), Connect_error::BAD_SIZE);
	EXPECT_EQ(f.connect(NAME, "/nonexistent").error(), Connect_error::NO_DIRECTORY);
	for (Connection *const each : {&a, &b, &c, &d, &e, &f}) EXPECT_GT(each->message().size(), 20u);
}

TEST_F(Connection_test, joins_a_domain_to_itself_when_both_sides_ask_for_that)
{
	constexpr Channel_name WITHIN{7, 7, 512};
	Connection server, client, unasked;
	ASSERT_TRUE(server.listen(WITHIN, SIZES, directory, Within_domain::YES).ok());
	EXPECT_EQ(unasked.connect(WITHIN, directory).error(), Connect_error::SELF);
	ASSERT_TRUE(client.connect(WITHIN, directory, Within_domain::YES).ok()) << client.message();
	meet(server, client);
	ASSERT_TRUE(client.endpoint()->try_write(bytes_of("from me to me")).ok());
	EXPECT_EQ(read_all(*server.endpoint()), "from me to me");
}

TEST_F(Connection_test, goes_on_listening_after_clients_that_talk_nonsense)
{
	Connection server;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
	auto const other = encode(Hello{NAME.server, NAME.client, NAME.port + 1});
	auto version = encode(Hello{NAME.server, NAME.client, NAME.port});
	version[4] ^= 0xff;
	std::vector<std::pair<std::vector<uint8_t>, Welcome::Status>> const cases = {
		{{1, 2, 3}, Welcome::Status::NONSENSE},
		{std::vector<uint8_t>(60, 0), Welcome::Status::NONSENSE},
		{{other.begin(), other.end()}, Welcome::Status::NONSENSE},
		{{version.begin(), version.end()}, Welcome::Status::VERSION},
	};
	for (auto const &[message, status] : cases) {
		Owned_fd const client = raw_client();
		ASSERT_EQ(send(client.value(), message.data(), message.size(), 0), ssize_t(message.size()));
		for (unsigned i = 0; i < 4; ++i) ASSERT_TRUE(server.look().ok());
		uint8_t answer[64];
		ssize_t const size = recv(client.value(), answer, sizeof(answer), MSG_DONTWAIT);
		ASSERT_GT(size, 0);
		auto const welcome = decode_welcome({answer, static_cast<size_t>(size)});
		ASSERT_TRUE(welcome.ok());
		EXPECT_EQ(welcome.value().status, status);
	}
	std::vector<Owned_fd> silent;
	for (unsigned i = 0; i < 20; ++i) {
		silent.push_back(raw_client());
		ASSERT_TRUE(server.look().ok());
	}
	EXPECT_FALSE(server.joined());
	Connection client;
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	meet(server, client);
}

/* A server that answers what it likes. */
class False_server
{
private:
	Directory _place;
	Listening _listener;

public:
	explicit False_server(std::string const &directory, Channel_name const &name)
	{
		EXPECT_TRUE(_place.open(directory).ok());
		auto listener = _place.listen(name);
		EXPECT_TRUE(listener.ok()) << _place.message();
		_listener = std::move(listener.value());
	}

	void stop(Channel_name const &name) { _place.remove(name, _listener); }

	/* Accepts, and sends this with these descriptors. */
	Owned_fd answer(Bytes message, std::vector<int> const &descriptors)
	{
		Owned_fd client{accept4(_listener.socket.value(), nullptr, nullptr, SOCK_CLOEXEC)};
		alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
		iovec part{const_cast<uint8_t *>(message.data()), message.size()};
		msghdr header{};
		header.msg_iov = &part;
		header.msg_iovlen = 1;
		if (!descriptors.empty()) {
			header.msg_control = control;
			header.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
			cmsghdr *const rights = CMSG_FIRSTHDR(&header);
			rights->cmsg_level = SOL_SOCKET;
			rights->cmsg_type = SCM_RIGHTS;
			rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
			memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
		}
		EXPECT_GE(sendmsg(client.value(), &header, 0), 0);
		return client;
	}
};

TEST_F(Connection_test, checks_all_that_a_server_hands_over)
{
	auto const good = encode(Welcome{Welcome::Status::ACCEPTED, 5});
	auto const region = vchan::region_bytes(SIZES);
	Owned_fd const unformatted = std::move(Sealed_memory::create(region).value());
	Owned_fd const small = std::move(Sealed_memory::create(64).value());
	Owned_fd const unsealed{memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	ASSERT_EQ(ftruncate(unsealed.value(), static_cast<off_t>(region)), 0);
	Owned_fd const file{open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
	int pair[2];
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	Owned_fd const bell{pair[0]}, other{pair[1]};
	Owned_fd const event{eventfd(0, EFD_CLOEXEC)};
	int const memory = unformatted.value(), wire = bell.value();
	struct Case
	{
		std::vector<uint8_t> message;
		std::vector<int> descriptors;
		Connect_error error;
	};
	std::vector<uint8_t> const accepted(good.begin(), good.end());
	auto refused = encode(Welcome{Welcome::Status::NOT_ALLOWED});
	std::vector<Case> const cases = {
		{{1, 2, 3}, {}, Connect_error::BAD_MESSAGE},
		{{refused.begin(), refused.end()}, {}, Connect_error::NOT_ALLOWED},
		{accepted, {}, Connect_error::BAD_MESSAGE},
		{accepted, {memory}, Connect_error::BAD_MESSAGE},
		{accepted, {memory, wire, wire, wire}, Connect_error::BAD_MESSAGE},
		{accepted, {memory, event.value()}, Connect_error::BAD_MESSAGE},
		{accepted, {memory, file.value()}, Connect_error::BAD_MESSAGE},
		{accepted, {unsealed.value(), wire}, Connect_error::BAD_MEMORY},
		{accepted, {file.value(), wire}, Connect_error::BAD_MEMORY},
		{accepted, {small.value(), wire}, Connect_error::BAD_MEMORY},
		{accepted, {memory, wire}, Connect_error::BAD_MEMORY},
	};
	False_server server(directory, NAME);
	size_t const before = open_descriptors();
	for (size_t i = 0; i < cases.size(); ++i) {
		SCOPED_TRACE(i);
		Connection client;
		ASSERT_TRUE(client.connect(NAME, directory).ok()) << client.message();
		Owned_fd const accepted_client = server.answer(cases[i].message, cases[i].descriptors);
		auto const result = client.look();
		ASSERT_FALSE(result.ok());
		EXPECT_EQ(result.error(), cases[i].error) << client.message();
		EXPECT_EQ(client.endpoint(), nullptr);
	}
	EXPECT_EQ(open_descriptors(), before);
	server.stop(NAME);
}

TEST_F(Connection_test, gives_up_on_a_server_that_drops_everybody)
{
	False_server server(directory, NAME);
	Connection client;
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	Attempt<void, Connect_error> result = Ok{};
	for (unsigned i = 0; i < 100 && result.ok(); ++i) {
		(void)server.answer({}, {});
		result = client.look();
	}
	ASSERT_FALSE(result.ok());
	EXPECT_EQ(result.error(), Connect_error::CROWDED);
	server.stop(NAME);
}

TEST_F(Connection_test, adopts_the_ends_that_a_broker_has_made)
{
	size_t const before = open_descriptors();
	{
		auto made = make_channel({1 << 20, 16});
		ASSERT_TRUE(made.ok());
		Connection server, client;
		ASSERT_TRUE(server.adopt(std::move(made.value().server)).ok()) << server.message();
		ASSERT_TRUE(client.adopt(std::move(made.value().client)).ok()) << client.message();
		EXPECT_EQ(server.endpoint()->state(), State::CONNECTED);
		EXPECT_EQ(client.endpoint()->in_capacity(), 1u << 20);
		client.endpoint()->arm(vchan::sleep_for::DATA);
		ASSERT_TRUE(client.look().ok());
		client.endpoint()->arm(vchan::sleep_for::DATA);
		ASSERT_TRUE(server.endpoint()->try_send(bytes_of("hello")).ok());
		EXPECT_TRUE(readable(client.fd()));
		EXPECT_EQ(read_all(*client.endpoint()), "hello");
	}
	EXPECT_EQ(open_descriptors(), before);
	EXPECT_EQ(make_channel({0, 0}).error(), Connect_error::BAD_SIZE);
	EXPECT_EQ(make_channel({16, 16}, vchan::GENERATION_MAX + 1).error(), Connect_error::BAD_SIZE);
	EXPECT_EQ(make_channel({16, 16}, 513).value().client.generation, 513U);
}

TEST_F(Connection_test, is_not_stopped_by_a_peer_that_abuses_the_bell)
{
	auto made = make_channel(SIZES);
	ASSERT_TRUE(made.ok());
	Connection honest;
	ASSERT_TRUE(honest.adopt(std::move(made.value().server)).ok());
	Channel_end &hostile = made.value().client;
	// What the kernel lets it do with its end: blocking mode, a full queue, both ways shut.
	int const bell = hostile.bell.in();
	fcntl(bell, F_SETFL, 0);
	while (send(bell, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {}
	shutdown(bell, SHUT_RDWR);
	auto const memory = Sealed_memory::map(hostile.memory.value());
	ASSERT_TRUE(memory.ok());
	auto const words = vchan::attach(memory.value().bytes(), hostile.generation);
	ASSERT_TRUE(words.ok());
	for (uint32_t ticket = 1; ticket < 100; ++ticket) {
		words.value().own->sleep.store(ticket << vchan::TICKET_SHIFT | vchan::sleep_for::ANY);
		(void)honest.endpoint()->try_write(bytes_of("x"));
		ASSERT_TRUE(honest.look().ok());
	}
	EXPECT_EQ(honest.endpoint()->rings(), 99u);
}

/* Sends one byte and a descriptor; false if the kernel doesn't let it. */
bool pass_descriptor(int socket, int fd)
{
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	char byte = 0;
	iovec part{&byte, 1};
	msghdr header{};
	header.msg_iov = &part;
	header.msg_iovlen = 1;
	header.msg_control = control;
	header.msg_controllen = sizeof(control);
	cmsghdr *const rights = CMSG_FIRSTHDR(&header);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &fd, sizeof(int));
	return sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

// Closing what a peer has sent may take as long as it likes (SO_LINGER).
TEST_F(Connection_test, takes_no_descriptors_from_a_client)
{
	int const socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	Owned_fd const probe{socket};
	int passes = 0;
	socklen_t length = sizeof(passes);
	constexpr int PASS_RIGHTS = 83; // SO_PASSRIGHTS
	if (getsockopt(socket, SOL_SOCKET, PASS_RIGHTS, &passes, &length) != 0)
		GTEST_SKIP() << "Linux before 6.16";
	Connection server;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
	Owned_fd const client = raw_client();
	EXPECT_FALSE(pass_descriptor(client.value(), 0)) << "not yet accepted";
	ASSERT_TRUE(server.look().ok());
	EXPECT_FALSE(pass_descriptor(client.value(), 0)) << "not yet greeted";
	auto const hello = encode(Hello{NAME.server, NAME.client, NAME.port});
	ASSERT_EQ(send(client.value(), hello.data(), hello.size(), 0), ssize_t(hello.size()));
	ASSERT_TRUE(server.look().ok());
	ASSERT_TRUE(server.joined());
	EXPECT_FALSE(pass_descriptor(client.value(), 0)) << "joined";
	auto made = make_channel(SIZES);
	ASSERT_TRUE(made.ok());
	EXPECT_FALSE(pass_descriptor(made.value().client.bell.in(), 0));
	EXPECT_FALSE(pass_descriptor(made.value().server.bell.in(), 0));
}

/* A child that has all of our descriptors until it ends with this object. */
class Child_with_all
{
private:
	pid_t _child = fork();

public:
	Child_with_all()
	{
		while (_child == 0) pause();
	}
	~Child_with_all()
	{
		kill(_child, SIGKILL);
		waitpid(_child, nullptr, 0);
	}
};

// Epoll watches what we have closed as long as a child has it open.
TEST_F(Connection_test, of_a_server_sleeps_although_a_child_still_has_what_it_closed)
{
	Connection server, client, second;
	ASSERT_TRUE(server.listen(NAME, SIZES, directory).ok());
	Owned_fd const silent = raw_client();
	ASSERT_TRUE(server.look().ok());
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	ASSERT_TRUE(second.connect(NAME, directory).ok());
	Child_with_all const child;
	meet(server, client);
	ASSERT_EQ(send(silent.value(), "?", 1, MSG_NOSIGNAL), 1);
	for (unsigned i = 0; i < 10; ++i) ASSERT_TRUE(server.look().ok());
	EXPECT_FALSE(readable(server.fd()));
}

TEST_F(Connection_test, of_a_client_sleeps_although_a_child_still_has_what_it_closed)
{
	Connection client;
	ASSERT_TRUE(client.connect(NAME, directory).ok());
	{
		False_server server(directory, NAME);
		ASSERT_TRUE(client.look().ok());
		Child_with_all const child;
		shutdown(server.answer(Bytes(), {}).value(), SHUT_RDWR);
		server.stop(NAME);
		for (unsigned i = 0; i < 10; ++i) ASSERT_TRUE(client.look().ok()) << client.message();
		EXPECT_FALSE(readable(client.fd()));
		Connection next;
		ASSERT_TRUE(next.listen(NAME, SIZES, directory).ok());
		meet(next, client);
		for (unsigned i = 0; i < 10; ++i) ASSERT_TRUE(client.look().ok()) << client.message();
		EXPECT_FALSE(readable(client.fd()));
		ASSERT_TRUE(std::filesystem::create_directory(directory + "/event"));
		ASSERT_TRUE(std::filesystem::remove(directory + "/event"));
		EXPECT_FALSE(readable(client.fd())) << "nothing is looked for any more";
	}
}

TEST_F(Connection_test, can_be_asked_again_after_an_error)
{
	size_t const before = open_descriptors();
	auto taken = std::make_unique<Connection>();
	ASSERT_TRUE(taken->listen(NAME, SIZES, directory).ok());
	Connection server, client;
	EXPECT_EQ(server.listen(NAME, SIZES, directory).error(), Connect_error::NAME_IN_USE);
	EXPECT_EQ(server.endpoint(), nullptr);
	EXPECT_EQ(client.connect(NAME, directory + "/nowhere").error(), Connect_error::NO_DIRECTORY);
	taken.reset();
	EXPECT_EQ(open_descriptors(), before);
	{
		False_server false_server(directory, NAME);
		ASSERT_TRUE(client.connect(NAME, directory).ok());
		auto const refused = encode(Welcome{Welcome::Status::NOT_ALLOWED});
		Owned_fd const accepted = false_server.answer(refused, {});
		EXPECT_EQ(client.look().error(), Connect_error::NOT_ALLOWED);
		EXPECT_FALSE(readable(client.fd())) << "it doesn't ask again by itself";
		false_server.stop(NAME);
	}
	ASSERT_TRUE(server.listen(NAME, {64, 64}, directory).ok()) << server.message();
	ASSERT_TRUE(client.connect(NAME, directory).ok()) << client.message();
	meet(server, client);
	EXPECT_EQ(client.endpoint()->in_capacity(), 64u);
}

TEST_F(Connection_test, works_where_the_kernel_knows_no_epoll_pwait2)
{
	pid_t const child = fork();
	if (child == 0) {
		sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		sock_fprog const program{std::size(code), code};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
			_exit(77);
		Connection server, client;
		if (!server.listen(NAME, SIZES, directory).ok()) _exit(1);
		auto const late = server.wait(Monotonic_clock{}.now_us() + 1000);
		if (!late.ok() || late.value()) _exit(2);
		if (!client.connect(NAME, directory).ok()) _exit(3);
		auto const came = server.wait();
		if (!came.ok() || !came.value() || !client.look().ok()) _exit(4);
		_exit(server.joined() && client.joined() ? 0 : 5);
	}
	int status = 0;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no seccomp here";
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

} // namespace
} // namespace bulkhead::linux_host
