#include "platform/linux/vchan/directory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <iostream>
#include <poll.h>
#include <random>
#include <set>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Channel_name NAME{5, 7, 512};
constexpr uid_t STRANGER = 64'321;
constexpr int HANG_GUARD_MS = 60'000;

/* The end of a child that was killed or has returned. */
int end_of(pid_t child)
{
	int status = -1;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
	return status;
}

/* Whether a function says so in a process of its own. */
bool in_child(std::function<bool()> const &function)
{
	pid_t const child = fork();
	if (child == 0) _exit(function() ? 0 : 1);
	return end_of(child) == 0;
}

bool become(uid_t user)
{
	return setgroups(0, nullptr) == 0 && setresgid(user, user, user) == 0 &&
		setresuid(user, user, user) == 0;
}

/* Whether an attempt has failed as it should; tells the difference, as children can't EXPECT. */
template <typename T>
bool failed(Attempt<T, Connect_error> const &attempt, Connect_error error, Directory const &where,
	std::string_view words)
{
	if (!attempt.ok() && attempt.error() == error &&
		where.message().find(words) != std::string::npos)
		return true;
	std::cerr << (attempt.ok() ? "no error" : name_of(attempt.error())) << ": " << where.message()
			  << "\n";
	return false;
}

bool readable(Owned_fd const &fd, int timeout_ms = HANG_GUARD_MS)
{
	pollfd entry{.fd = fd.value(), .events = POLLIN, .revents = 0};
	return poll(&entry, 1, timeout_ms) == 1;
}

/* A watch for a name, and the epoll that it makes readable. */
struct Watched
{
	Owned_fd const epoll{epoll_create1(EPOLL_CLOEXEC)};
	Name_watch watch{};
	Attempt<void, Connect_error> begun;

	Watched(Directory &directory, Channel_name const &name)
		: begun(directory.watch(watch, name, epoll.value(), 0))
	{}
};

Attempt<void, Connect_error> watched(Directory &directory, Owned_fd const &epoll)
{
	Name_watch watch;
	return directory.watch(watch, {5, 7, 513}, epoll.value(), 0);
}


size_t open_descriptors()
{
	std::filesystem::directory_iterator const all("/proc/self/fd");
	return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class Directory_test : public testing::Test
{
protected:
	std::string around = "/tmp/bulkhead-directory.XXXXXX"; // others leave /tmp, which is watched
	std::string path{};
	Directory directory{};

	void SetUp() override
	{
		ASSERT_TRUE(mkdtemp(around.data()));
		ASSERT_EQ(chmod(around.c_str(), 0711), 0);
		path = around + "/vchan";
		ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
		reopen();
	}

	void TearDown() override { std::filesystem::remove_all(around); }

	void reopen() { ASSERT_TRUE(directory.open(path).ok()) << directory.message(); }

	std::string at(std::string const &name) const { return path + '/' + name; }

	void write(std::string const &name, std::string_view text) const
	{
		std::ofstream(at(name)) << text;
	}

	/* What is in the directory. */
	std::set<std::string> names() const
	{
		std::set<std::string> found;
		for (auto const &entry : std::filesystem::directory_iterator(path))
			found.insert(entry.path().filename());
		return found;
	}

	mode_t mode_of(std::string const &name) const
	{
		struct stat status{};
		lstat(at(name).c_str(), &status);
		return status.st_mode & 07777;
	}

	/* Leaves the name as a server does that is killed. */
	void leave_behind(Channel_name const &name = NAME)
	{
		ASSERT_TRUE(directory.listen(name).ok()) << directory.message();
		ASSERT_EQ(names().count(name.file()), 1U);
	}

	/* A listening socket of any type under the name. */
	Owned_fd foreign_server(int type) const
	{
		Owned_fd made{socket(AF_UNIX, type | SOCK_CLOEXEC, 0)};
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		at(NAME.file()).copy(address.sun_path, sizeof(address.sun_path) - 1);
		EXPECT_EQ(bind(made.value(), reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
		EXPECT_EQ(listen(made.value(), 1), 0);
		return made;
	}

	/* The same for all who want to open this directory. */
	void expect_open_fails(Connect_error error, std::string_view words)
	{
		Directory other;
		EXPECT_TRUE(failed(other.open(path), error, other, words));
		EXPECT_THAT(other.message(), HasSubstr(path));
	}

	void expect_listen_fails(Connect_error error, std::string_view words)
	{
		auto const before = names();
		EXPECT_TRUE(failed(directory.listen(NAME), error, directory, words));
		EXPECT_EQ(names(), before);
	}

	void expect_connect_fails(Connect_error error, std::string_view words)
	{
		EXPECT_TRUE(failed(directory.connect(NAME), error, directory, words));
	}
};

/* Tests that need other users. */
class Directory_of_many : public Directory_test
{
protected:
	void SetUp() override
	{
		if (geteuid() != 0) GTEST_SKIP() << "only root can be other users";
		Directory_test::SetUp();
		ASSERT_EQ(chmod(path.c_str(), 01777), 0);
		reopen();
	}
};

TEST(Channel_name, is_that_of_vchan_socket)
{
	EXPECT_EQ(NAME.file(), "vchan.5.7.512.sock");
	EXPECT_EQ((Channel_name{0, 2147483647, 0}.file()), "vchan.0.2147483647.0.sock");
}

// To meet.

TEST_F(Directory_test, lets_a_client_find_its_server)
{
	Listening const server = directory.listen(NAME).value();
	EXPECT_THAT(names(), testing::ElementsAre(NAME.file()));
	Owned_fd const client = directory.connect(NAME).value();
	ASSERT_TRUE(client);
	Owned_fd const accepted{accept(server.socket.value(), nullptr, nullptr)};
	ASSERT_TRUE(accepted);
	ASSERT_EQ(send(client.value(), "hello", 5, 0), 5);
	ASSERT_EQ(send(client.value(), "you", 3, 0), 3);
	std::array<char, 16> text{};
	EXPECT_EQ(recv(accepted.value(), text.data(), text.size(), 0), 5);
	EXPECT_EQ(recv(accepted.value(), text.data(), text.size(), 0), 3);
}

TEST_F(Directory_test, has_sockets_that_neither_block_nor_outlive_exec)
{
	Listening const server = directory.listen(NAME).value();
	Owned_fd const client = directory.connect(NAME).value();
	for (int const fd : {server.socket.value(), client.value()}) {
		EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
		EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
}

TEST_F(Directory_test, has_no_server_before_one_listens)
{
	EXPECT_FALSE(directory.connect(NAME).value());
	Listening const server = directory.listen({5, 7, 513}).value();
	EXPECT_FALSE(directory.connect(NAME).value());
}

TEST_F(Directory_test, works_at_a_path_too_long_for_a_socket)
{
	std::string deep = path;
	for (int i = 0; i < 5; ++i) deep += '/' + std::string(50, 'x');
	ASSERT_TRUE(std::filesystem::create_directories(deep));
	ASSERT_TRUE(directory.open(deep).ok()) << directory.message();
	Listening const server = directory.listen(NAME).value();
	EXPECT_TRUE(directory.connect(NAME).value());
	EXPECT_TRUE(std::filesystem::is_socket(deep + '/' + NAME.file()));
}

TEST_F(Directory_test, tells_who_watches_of_a_server_that_can_be_connected_to)
{
	Watched watched(directory, NAME);
	EXPECT_FALSE(readable(watched.epoll, 0));
	pid_t const child = fork();
	if (child == 0) {
		auto const server = directory.listen(NAME);
		pause();
		_exit(server.ok());
	}
	// The temporary name may come first, the final one comes for certain.
	Owned_fd client{};
	while (!client && readable(watched.epoll)) {
		bool const final_name = watched.watch.look().any;
		client = directory.connect(NAME).value();
		if (final_name) {
			EXPECT_TRUE(client);
		}
	}
	EXPECT_TRUE(client);
	kill(child, SIGKILL);
	end_of(child);
}

// Names that are taken, or left behind.

TEST_F(Directory_test, gives_a_name_to_one_server_only)
{
	Listening const server = directory.listen(NAME).value();
	expect_listen_fails(Connect_error::NAME_IN_USE, "waits under this name; end it, or take");
	EXPECT_THAT(directory.message(), HasSubstr(at(NAME.file())));
	Listening const other = directory.listen({5, 7, 513}).value();
	EXPECT_EQ(names().size(), 2U);
}

TEST_F(Directory_test, takes_over_the_name_of_a_killed_server)
{
	leave_behind();
	Listening const server = directory.listen(NAME).value();
	EXPECT_TRUE(directory.connect(NAME).value());
	EXPECT_THAT(names(), testing::ElementsAre(NAME.file()));
}

TEST_F(Directory_test, removes_what_a_killed_server_has_left_when_a_client_comes)
{
	leave_behind();
	EXPECT_FALSE(directory.connect(NAME).value());
	EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Directory_test, removes_what_was_left_on_the_way_to_a_name)
{
	leave_behind();
	std::string const unfinished = "." + std::to_string(geteuid()) + ".new";
	ASSERT_EQ(rename(at(NAME.file()).c_str(), at(unfinished).c_str()), 0);
	Listening const server = directory.listen(NAME).value();
	EXPECT_THAT(names(), testing::ElementsAre(NAME.file()));
}

TEST_F(Directory_test, leaves_alone_what_is_no_socket)
{
	write(NAME.file(), "somebody's");
	expect_listen_fails(Connect_error::NAME_IN_USE, "no socket");
	expect_connect_fails(Connect_error::NAME_IN_USE, "no socket; remove it");
	EXPECT_EQ(names().size(), 1U);
}

TEST_F(Directory_test, follows_no_symbolic_link_to_a_server)
{
	Listening const server = directory.listen({1, 2, 3}).value();
	ASSERT_EQ(symlink(Channel_name{1, 2, 3}.file().c_str(), at(NAME.file()).c_str()), 0);
	expect_connect_fails(Connect_error::NAME_IN_USE, "no socket");
	expect_listen_fails(Connect_error::NAME_IN_USE, "no socket");
}

TEST_F(Directory_test, tells_a_server_of_another_protocol)
{
	Owned_fd const server = foreign_server(SOCK_STREAM);
	expect_connect_fails(Connect_error::PEER_VERSION, "BULKHEAD_VCHAN=socket speaks its protocol");
	expect_listen_fails(Connect_error::NAME_IN_USE, "vchan-socket");
}

TEST_F(Directory_test, tells_when_too_many_clients_wait_and_still_knows_the_server)
{
	Listening const server = directory.listen(NAME).value();
	std::vector<Owned_fd> clients;
	auto client = directory.connect(NAME);
	while (client.ok() && clients.size() < 10'000) {
		clients.push_back(std::move(client).value());
		client = directory.connect(NAME);
	}
	EXPECT_GE(clients.size(), 4U);
	ASSERT_FALSE(client.ok());
	EXPECT_EQ(client.error(), Connect_error::CROWDED);
	EXPECT_THAT(directory.message(), HasSubstr("try again"));
	expect_listen_fails(Connect_error::NAME_IN_USE, "waits under this name");
	Owned_fd const accepted{accept(server.socket.value(), nullptr, nullptr)};
	EXPECT_TRUE(directory.connect(NAME).ok());
}

TEST_F(Directory_test, removes_only_the_name_of_the_server_that_asks)
{
	Listening old = directory.listen(NAME).value();
	ASSERT_EQ(unlink(at(NAME.file()).c_str()), 0);
	Listening const server = directory.listen(NAME).value();
	directory.remove(NAME, old);
	EXPECT_TRUE(directory.connect(NAME).value());
	directory.remove(NAME, Listening{});
	EXPECT_TRUE(directory.connect(NAME).value());
	directory.remove(NAME, server);
	EXPECT_THAT(names(), IsEmpty());
	directory.remove(NAME, server);
}

TEST_F(Directory_test, gives_up_on_a_lock_that_is_never_released)
{
	leave_behind();
	Owned_fd const lock{open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	ASSERT_EQ(flock(lock.value(), LOCK_EX), 0);
	expect_listen_fails(Connect_error::LOCKED, "locked by another process; find it");
	// A client doesn't need it.
	EXPECT_FALSE(directory.connect(NAME).value());
	EXPECT_EQ(names().size(), 1U);
	ASSERT_EQ(flock(lock.value(), LOCK_UN), 0);
	EXPECT_TRUE(directory.listen(NAME).ok());
}

TEST_F(Directory_test, waits_for_a_lock_that_is_released)
{
	std::array<int, 2> locked{};
	ASSERT_EQ(pipe2(locked.data(), O_CLOEXEC), 0);
	pid_t const child = fork();
	if (child == 0) {
		int const fd = open(path.c_str(), O_RDONLY | O_DIRECTORY);
		bool const ok = flock(fd, LOCK_EX) == 0 && ::write(locked[1], "", 1) == 1;
		usleep(20'000); // any time up to a second will do
		_exit(ok ? 0 : 1);
	}
	char byte;
	ASSERT_EQ(read(locked[0], &byte, 1), 1);
	EXPECT_TRUE(directory.listen(NAME).ok()) << directory.message();
	EXPECT_EQ(end_of(child), 0);
	close(locked[0]);
	close(locked[1]);
}

// The directory itself.

TEST_F(Directory_test, must_exist)
{
	path += "/missing";
	expect_open_fails(Connect_error::NO_DIRECTORY, "mkdir -m 700");
	EXPECT_FALSE(std::filesystem::exists(path));
	path = std::filesystem::path(path).parent_path();
	write("file", "");
	path += "/file";
	expect_open_fails(Connect_error::NO_DIRECTORY, "Not a directory");
	path = std::filesystem::path(path).parent_path();
	Directory other;
	EXPECT_TRUE(failed(other.open(""), Connect_error::NO_DIRECTORY, other, "No such file"));
}

TEST_F(Directory_test, that_others_can_write_to_must_be_sticky)
{
	for (mode_t const mode : {0770U, 0707U, 0777U}) {
		ASSERT_EQ(chmod(path.c_str(), mode), 0);
		expect_open_fails(Connect_error::UNSAFE_DIRECTORY, "chmod go-w");
		ASSERT_EQ(chmod(path.c_str(), mode | S_ISVTX), 0);
		reopen();
	}
	ASSERT_EQ(chmod(path.c_str(), 0755), 0);
	reopen();
}

TEST_F(Directory_test, that_was_removed_is_missed)
{
	Watched watched(directory, NAME);
	ASSERT_EQ(rmdir(path.c_str()), 0);
	EXPECT_TRUE(readable(watched.epoll));
	EXPECT_TRUE(watched.watch.look().any);
	expect_connect_fails(Connect_error::NO_DIRECTORY, "removed or replaced");
	EXPECT_TRUE(failed(
		directory.listen(NAME), Connect_error::NO_DIRECTORY, directory, "removed or replaced"));
	EXPECT_TRUE(failed(Watched(directory, NAME).begun, Connect_error::NO_DIRECTORY, directory,
		"removed or replaced"));
	// Another one in its place isn't it.
	ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
	expect_listen_fails(Connect_error::NO_DIRECTORY, "removed or replaced");
	reopen();
	EXPECT_TRUE(directory.listen(NAME).ok());
}

TEST_F(Directory_test, that_was_moved_is_missed)
{
	Watched watched(directory, NAME);
	std::string const elsewhere = path + ".moved";
	ASSERT_EQ(rename(path.c_str(), elsewhere.c_str()), 0);
	EXPECT_TRUE(readable(watched.epoll));
	EXPECT_TRUE(watched.watch.look().gone);
	expect_connect_fails(Connect_error::NO_DIRECTORY, "removed or replaced");
	ASSERT_EQ(rename(elsewhere.c_str(), path.c_str()), 0);
}

TEST_F(Directory_test, is_found_again_from_another_working_directory)
{
	EXPECT_TRUE(in_child([&] {
		if (chdir(path.c_str()) != 0) return false;
		Directory here;
		return here.open(".").ok() && chdir("/") == 0 && here.path() == path + "/." &&
			here.listen(NAME).ok();
	}));
}

TEST_F(Directory_test, that_is_full_says_so)
{
	if (mount("none", path.c_str(), "tmpfs", 0, "nr_inodes=3,mode=700") != 0)
		GTEST_SKIP() << "no right to mount a small file system";
	EXPECT_TRUE(in_child([&] {
		Directory small;
		if (!small.open(path).ok()) return false;
		std::vector<Listening> servers;
		for (int port = 0; port < 10; ++port) {
			auto server = small.listen({5, 7, port});
			if (!server.ok())
				return failed(server, Connect_error::DIRECTORY_FULL, small, "make room") &&
					names().size() == servers.size();
			servers.push_back(std::move(server).value());
		}
		return false;
	}));
	directory = {};
	EXPECT_EQ(umount(path.c_str()), 0);
}

TEST_F(Directory_test, by_default_is_made_for_this_user_alone)
{
	EXPECT_TRUE(in_child([&] {
		unsetenv("BULKHEAD_VCHAN_DIR");
		setenv("XDG_RUNTIME_DIR", path.c_str(), 1);
		Directory made;
		umask(0);
		return Directory::default_path() == path + "/bulkhead/vchan" && made.open().ok() &&
			made.listen(NAME).ok() && mode_of("bulkhead") == 0700 &&
			mode_of("bulkhead/vchan") == 0700 && made.open().ok();
	}));
	EXPECT_TRUE(std::filesystem::is_socket(at("bulkhead/vchan/" + NAME.file())));
}

TEST_F(Directory_test, by_default_is_not_made_where_others_could_replace_it)
{
	ASSERT_EQ(chmod(path.c_str(), 0777), 0);
	EXPECT_TRUE(in_child([&] {
		unsetenv("BULKHEAD_VCHAN_DIR");
		setenv("XDG_RUNTIME_DIR", path.c_str(), 1);
		Directory made;
		return failed(made.open(), Connect_error::UNSAFE_DIRECTORY, made, "BULKHEAD_VCHAN_DIR");
	}));
	EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Directory_test, is_what_the_environment_names)
{
	EXPECT_TRUE(in_child([&] {
		setenv("XDG_RUNTIME_DIR", path.c_str(), 1);
		setenv("BULKHEAD_VCHAN_DIR", at("named").c_str(), 1);
		Directory named;
		// What somebody has named isn't made: it may be a slip.
		return Directory::default_path() == at("named") &&
			failed(named.open(), Connect_error::NO_DIRECTORY, named, "mkdir");
	}));
	EXPECT_TRUE(in_child([] {
		setenv("BULKHEAD_VCHAN_DIR", "", 1);
		setenv("XDG_RUNTIME_DIR", "relative", 1);
		return Directory::default_path() == "/run/bulkhead/vchan";
	}));
	EXPECT_THAT(names(), IsEmpty());
}

// The access rules.

TEST_F(Directory_test, reads_its_access_rules)
{
	write("domains", "5 0\n7 1203\n");
	reopen();
	EXPECT_TRUE(directory.rules().allows(7, 1203));
	EXPECT_FALSE(directory.rules().allows(7, 0));
	ASSERT_EQ(unlink(at("domains").c_str()), 0);
	reopen();
	EXPECT_TRUE(directory.rules().allows(7, geteuid()));
}

TEST_F(Directory_test, tells_all_faults_of_its_access_rules_with_their_lines)
{
	write("domains", "5 0\nx 0\n\n7\n");
	Directory other;
	EXPECT_TRUE(failed(other.open(path), Connect_error::BAD_RULES, other, "/domains:2: 'x' is no"));
	EXPECT_THAT(other.message(), HasSubstr("/domains:4: domain 7 has no users"));
	std::string many;
	for (int i = 0; i < 100; ++i) many += "x\n";
	write("domains", many);
	EXPECT_TRUE(failed(other.open(path), Connect_error::BAD_RULES, other, "and 80 more"));
}

TEST_F(Directory_test, takes_access_rules_of_64_kib_and_no_more)
{
	std::string text = "5 0\n";
	while (text.size() < 64 * 1024) text += "#\n";
	write("domains", text);
	reopen();
	write("domains", text + "\n");
	expect_open_fails(Connect_error::BAD_RULES, "longer than 64 KiB");
}

TEST_F(Directory_test, takes_no_access_rules_that_others_could_have_written)
{
	write("rules", "5 0\n");
	ASSERT_EQ(symlink("rules", at("domains").c_str()), 0);
	expect_open_fails(Connect_error::BAD_RULES, "symbolic link; put");
	ASSERT_EQ(unlink(at("domains").c_str()), 0);
	ASSERT_EQ(link(at("rules").c_str(), at("domains").c_str()), 0);
	expect_open_fails(Connect_error::BAD_RULES, "hard link");
	ASSERT_EQ(unlink(at("rules").c_str()), 0);
	reopen();
	for (mode_t const mode : {0620U, 0602U}) {
		ASSERT_EQ(chmod(at("domains").c_str(), mode), 0);
		expect_open_fails(Connect_error::BAD_RULES, "chmod go-w");
	}
}

TEST_F(Directory_test, does_not_wait_for_access_rules_that_are_no_file)
{
	ASSERT_EQ(mkfifo(at("domains").c_str(), 0600), 0);
	expect_open_fails(Connect_error::BAD_RULES, "no regular file");
	ASSERT_EQ(unlink(at("domains").c_str()), 0);
	ASSERT_EQ(mkdir(at("domains").c_str(), 0700), 0);
	expect_open_fails(Connect_error::BAD_RULES, "no regular file");
}

TEST_F(Directory_test, lets_others_connect_only_if_the_rules_know_another_client)
{
	write("domains", "5 0\n7 " + std::to_string(STRANGER) + "\n8 " + std::to_string(geteuid()));
	reopen();
	mode_t const before = umask(077);
	Listening const shared = directory.listen({5, 7, 0}).value();
	umask(0);
	Listening const own = directory.listen({5, 8, 0}).value();
	Listening const nobodys = directory.listen({5, 9, 0}).value();
	umask(0777);
	Listening const hidden = directory.listen({5, 8, 1}).value();
	umask(before);
	EXPECT_EQ(mode_of("vchan.5.7.0.sock"), 0666U);
	EXPECT_EQ(mode_of("vchan.5.8.0.sock"), 0600U);
	EXPECT_EQ(mode_of("vchan.5.9.0.sock"), 0600U);
	EXPECT_EQ(mode_of("vchan.5.8.1.sock"), 0600U);
}

// Other users.

TEST_F(Directory_of_many, must_be_ours_or_roots)
{
	EXPECT_TRUE(in_child([&] {
		Directory of_root;
		return become(STRANGER) && of_root.open(path).ok();
	}));
	ASSERT_EQ(chown(path.c_str(), STRANGER, STRANGER), 0);
	expect_open_fails(Connect_error::UNSAFE_DIRECTORY, "belongs to user 64321");
	EXPECT_TRUE(in_child([&] {
		Directory own;
		return become(STRANGER) && own.open(path).ok();
	}));
}

TEST_F(Directory_of_many, must_be_readable)
{
	ASSERT_EQ(chmod(path.c_str(), 0711), 0);
	EXPECT_TRUE(in_child([&] {
		Directory other;
		return become(STRANGER) &&
			failed(other.open(path), Connect_error::NOT_ALLOWED, other, "mkdir -m 1777");
	}));
}

TEST_F(Directory_of_many, has_rules_of_its_owner_or_root_only)
{
	write("domains", "5 0\n");
	ASSERT_EQ(chown(at("domains").c_str(), STRANGER, STRANGER), 0);
	expect_open_fails(Connect_error::BAD_RULES, "belongs to user 64321; it must be root's");
	ASSERT_EQ(chown(path.c_str(), STRANGER, STRANGER), 0);
	EXPECT_TRUE(in_child([&] {
		Directory own;
		return become(STRANGER) && own.open(path).ok();
	}));
	ASSERT_EQ(chown(at("domains").c_str(), 0, 0), 0);
	ASSERT_EQ(chmod(at("domains").c_str(), 0600), 0);
	EXPECT_TRUE(in_child([&] {
		Directory own;
		return become(STRANGER) &&
			failed(own.open(path), Connect_error::BAD_RULES, own, "has to be able to read it");
	}));
}

TEST_F(Directory_of_many, lets_nobody_connect_whom_the_rules_do_not_know)
{
	Listening const server = directory.listen(NAME).value();
	EXPECT_TRUE(in_child([&] {
		Directory other;
		return become(STRANGER) && other.open(path).ok() &&
			failed(other.connect(NAME), Connect_error::NOT_ALLOWED, other, "/domains") &&
			failed(other.listen(NAME), Connect_error::NAME_IN_USE, other, "user 0 has this name");
	}));
	directory.remove(NAME, server);
	write("domains", "7 64321\n");
	reopen();
	Listening const open_to_others = directory.listen(NAME).value();
	EXPECT_TRUE(in_child([&] {
		Directory other;
		return become(STRANGER) && other.open(path).ok() && other.connect(NAME).value() &&
			failed(other.listen(NAME), Connect_error::NAME_IN_USE, other, "waits under this name");
	}));
}

TEST_F(Directory_of_many, keeps_what_a_killed_server_of_another_user_has_left)
{
	write("domains", "7 64321\n");
	reopen();
	leave_behind();
	EXPECT_TRUE(in_child([&] {
		Directory other;
		return become(STRANGER) && other.open(path).ok() && !other.connect(NAME).value() &&
			failed(other.listen(NAME), Connect_error::NAME_IN_USE, other,
				"left by a killed server of user 0, who has to remove it");
	}));
	EXPECT_EQ(names().size(), 2U);
}

TEST_F(Directory_of_many, has_servers_only_of_those_who_may_write_to_it)
{
	ASSERT_EQ(chmod(path.c_str(), 0755), 0);
	EXPECT_TRUE(in_child([&] {
		Directory other;
		return become(STRANGER) && other.open(path).ok() &&
			failed(other.listen(NAME), Connect_error::NOT_ALLOWED, other, "ask its owner");
	}));
	EXPECT_THAT(names(), IsEmpty());
}

// Limits of the machine.

/* Lets this process have at most so many more descriptors. */
bool limit_descriptors(rlim_t more)
{
	int const next = dup(0);
	close(next);
	rlimit const limit{static_cast<rlim_t>(next) + more, static_cast<rlim_t>(next) + more};
	return next >= 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

TEST_F(Directory_test, tells_when_there_are_too_many_open_descriptors)
{
	constexpr auto MANY = Connect_error::TOO_MANY_OPEN;
	write("domains", "5 root\n");
	Listening const server = directory.listen({5, 7, 513}).value();
	auto const before = names();
	Owned_fd const epoll{epoll_create1(EPOLL_CLOEXEC)};
	for (rlim_t more = 0; more < 2; ++more)
		EXPECT_TRUE(in_child([&] {
			Directory other;
			return limit_descriptors(more) && failed(other.open(path), MANY, other, "ulimit -n") &&
				failed(directory.listen(NAME), MANY, directory, "ulimit -n") &&
				failed(directory.connect({5, 7, 513}), MANY, directory, "ulimit -n") &&
				failed(watched(directory, epoll), MANY, directory, "ulimit -n");
		})) << more;
	EXPECT_EQ(names(), before);
	EXPECT_TRUE(in_child([&] {
		return limit_descriptors(6) && directory.open(path).ok() && directory.listen(NAME).ok() &&
			watched(directory, epoll).ok() && directory.connect({5, 7, 513}).ok();
	}));
}

TEST_F(Directory_of_many, tells_when_there_are_too_many_inotify_instances)
{
	Owned_fd const epoll{epoll_create1(EPOLL_CLOEXEC)};
	// As another user: the limit is each user's, and other tests may need ours.
	EXPECT_TRUE(in_child([&] {
		Directory other;
		if (!become(STRANGER) || !other.open(path).ok()) return false;
		rlimit const limit{1'000'000, 1'000'000};
		setrlimit(RLIMIT_NOFILE, &limit);
		int last = 0;
		for (int i = 0; last >= 0 && i < 1'000'000; ++i) last = inotify_init1(IN_CLOEXEC);
		if (errno != EMFILE) return false;
		int const spare = dup(0);
		if (spare < 0) return true; // this machine's limit of instances can't be reached
		close(spare);
		return failed(watched(other, epoll), Connect_error::TOO_MANY_WATCHES, other,
			"fs.inotify.max_user_instances");
	}));
}

TEST_F(Directory_test, keeps_no_descriptor_of_what_has_failed)
{
	write("domains", "5 root\n");
	reopen();
	size_t const before = open_descriptors();
	for (int i = 0; i < 3; ++i) {
		Directory other;
		EXPECT_FALSE(other.open(path + "/missing").ok());
		EXPECT_FALSE(directory.connect(NAME).value());
		Listening const server = directory.listen(NAME).value();
		EXPECT_FALSE(directory.listen(NAME).ok());
		EXPECT_TRUE(directory.connect(NAME).value());
		EXPECT_TRUE(Watched(directory, NAME).begun.ok());
		directory.remove(NAME, server);
	}
	write("domains", "x");
	Directory other;
	EXPECT_FALSE(other.open(path).ok());
	EXPECT_EQ(open_descriptors(), before);
}

// Many at once, killed anywhere.

/* A process that tries to be the server and says through a pipe whether it is: W, L or an error. */
struct Rival
{
	pid_t process;
	Owned_fd said;

	explicit Rival(std::string const &path)
	{
		std::array<int, 2> ends{};
		if (pipe2(ends.data(), O_CLOEXEC) != 0) abort();
		process = fork();
		if (process == 0) {
			Directory directory;
			bool const there = directory.open(path).ok();
			auto const server = directory.listen(NAME);
			bool const lost = !server.ok() && server.error() == Connect_error::NAME_IN_USE;
			char const word = !there ? 'O' : server.ok() ? 'W' : lost ? 'L' : 'E';
			if (word == 'E') std::cerr << directory.message() << "\n";
			if (::write(ends[1], &word, 1) == 1) pause();
			_exit(0);
		}
		close(ends[1]);
		said.reset(ends[0]);
	}

	/* 0 if it was killed before it could say. */
	char word() const
	{
		char word = 0;
		while (read(said.value(), &word, 1) < 0 && errno == EINTR) {}
		return word;
	}

	void end() const
	{
		kill(process, SIGKILL);
		end_of(process);
	}
};

TEST_F(Directory_test, has_one_server_at_most_however_many_begin_and_die)
{
	std::mt19937 random{7};
	directory = {};
	for (int round = 0; round < 500; ++round) {
		std::vector<Rival> rivals;
		for (int i = 0; i < 4; ++i) rivals.emplace_back(path);
		std::vector<Rival> killed;
		for (int i = 0; i < 2; ++i) {
			std::swap(rivals[random() % rivals.size()], rivals.back());
			for (unsigned wait = random() % 1'000'000; wait; --wait) asm volatile("");
			rivals.back().end();
			killed.push_back(std::move(rivals.back()));
			rivals.pop_back();
		}
		std::string living, dead;
		for (auto const &rival : rivals) living += rival.word();
		for (auto const &rival : killed)
			if (char const word = rival.word()) dead += word;
		ASSERT_EQ((living + dead).find_first_of("OE"), std::string::npos) << living << dead;
		// Who lost has seen a server, which may have been killed since.
		auto const winners = std::ranges::count(living, 'W');
		ASSERT_LE(winners, 1) << living;
		reopen();
		auto const own = directory.listen(NAME);
		ASSERT_EQ(own.ok(), winners == 0) << living << dead << directory.message();
		ASSERT_EQ(names().count(NAME.file()), 1U);
		directory = {};
		for (auto const &rival : rivals) rival.end();
	}
	reopen();
	Listening const last = directory.listen(NAME).value();
	directory.remove(NAME, last);
	EXPECT_THAT(names(), IsEmpty());
}

} // namespace
} // namespace bulkhead::linux_host
