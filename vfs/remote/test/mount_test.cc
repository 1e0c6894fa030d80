// A kernel as the client: /dev/fuse, a process between it and a channel, and a server that is
// another process and may be killed.

#include "platform/linux/signals.h"
#include "vfs/remote/mount.h"
#include "vfs/remote/test/channel_stream.h"
#include "vfs/remote/test/world.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <poll.h>
#include <random>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace bulkhead::remote {
namespace {

constexpr vchan::Sizes RINGS{64 * 1024, 64 * 1024};

[[noreturn]] void serve_until_killed(linux_host::Channel_end end)
{
	linux_host::Loop loop;
	Served_tree tree(loop.executor());
	Channel_stream stream(loop);
	if (!stream.adopt(std::move(end))) _exit(1);
	Server server(loop.executor(), tree.root(), "tester");
	Job_with_arena<16 * 1024> job(loop.executor());
	(void)sync_wait(job, server.serve(job, stream), loop);
	_exit(server.open_files() || server.pending() ? 2 : 0);
}

/* Starts a server whenever there is none, until the file system is unmounted. */
int pass(std::string const &directory, int tell)
{
	std::string why;
	linux_host::Owned_fd fuse = mount_fuse(directory, "test", false, false, why);
	if (!fuse) {
		fprintf(stderr, "%s\n", why.c_str());
		return 10;
	}
	linux_host::Loop loop;
	Kernel_mount mount(loop, std::move(fuse));
	Job_with_arena<16 * 1024> job(loop.executor());
	for (;;) {
		auto channel = linux_host::make_channel(RINGS);
		if (!channel.ok()) return 11;
		pid_t const server = fork();
		if (server == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			auto end = std::move(channel.value().server);
			channel.value().client = {};
			serve_until_killed(std::move(end));
		}
		auto end = std::move(channel.value().client);
		channel.value().server = {};
		Channel_stream stream(loop);
		if (!stream.adopt(std::move(end))) return 12;
		(void)!write(tell, &server, sizeof server);
		Attempt<void> const result = sync_wait(job, mount.serve(job, stream), loop);
		if (result.ok()) return 13;
		if (result.error() == Error::GONE) return 0;
		if (result.error() != Error::BROKEN_PIPE) return 14;
		waitpid(server, nullptr, 0);
	}
}

class Remote_mount : public testing::Test
{
protected:
	std::string directory{};
	pid_t passing = -1;
	int told = -1;
	pid_t server = -1;

	void SetUp() override
	{
		char name[] = "/tmp/bulkhead_remote.XXXXXX";
		directory = mkdtemp(name);
		int ends[2];
		ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
		passing = fork();
		if (passing == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(pass(directory, ends[1]));
		}
		close(ends[1]);
		told = ends[0];
		await_server();
	}

	void TearDown() override
	{
		std::string why;
		EXPECT_TRUE(unmount_fuse(directory, why)) << why;
		int status = 0;
		waitpid(passing, &status, 0);
		EXPECT_TRUE(WIFEXITED(status)) << status;
		EXPECT_EQ(WEXITSTATUS(status), 0);
		close(told);
		rmdir(directory.c_str());
	}

	void await_server() { ASSERT_EQ(read(told, &server, sizeof server), ssize_t{sizeof server}); }

	void replace_server()
	{
		kill(server, SIGKILL);
		await_server();
	}

	std::string at(std::string const &name) const { return directory + "/" + name; }

	int open_file(std::string const &name, int flags) const
	{
		return open(at(name).c_str(), flags | O_CLOEXEC, 0644);
	}
};

TEST_F(Remote_mount, is_a_file_system_as_any)
{
	std::filesystem::create_directory(at("ram/d"));
	std::ofstream(at("ram/d/a")) << "hello";
	std::filesystem::rename(at("ram/d/a"), at("ram/b"));
	std::filesystem::create_symlink("b", at("ram/l"));
	std::string text;
	std::ifstream(at("ram/l")) >> text;
	EXPECT_EQ(text, "hello");
	EXPECT_EQ(std::distance(std::filesystem::directory_iterator(at("ram")), {}), 3);
	EXPECT_FALSE(std::filesystem::remove(at("ram/nothing")));
	EXPECT_TRUE(std::filesystem::remove(at("ram/d")));
}

TEST_F(Remote_mount, keeps_what_is_written_anywhere_in_a_file)
{
	constexpr size_t MOST = 400'000;
	int const file = open_file("ram/x", O_RDWR | O_CREAT);
	ASSERT_GE(file, 0);
	std::vector<char> model, buffer(MOST);
	std::minstd_rand random(1);
	for (unsigned i = 0; i < 600; ++i) {
		size_t const at = random() % MOST;
		size_t const size = std::min<size_t>(random() % 200'000, MOST - at);
		switch (random() % 4) {
		case 0:
			model.resize(at);
			ASSERT_EQ(ftruncate(file, static_cast<off_t>(at)), 0);
			break;
		case 1:
			std::fill_n(buffer.begin(), size, static_cast<char>(i));
			ASSERT_EQ(pwrite(file, buffer.data(), size, static_cast<off_t>(at)),
				static_cast<ssize_t>(size));
			if (size) model.resize(std::max(model.size(), at + size));
			std::fill_n(model.begin() + static_cast<ptrdiff_t>(at), size, static_cast<char>(i));
			break;
		default: {
			size_t const there = at < model.size() ? std::min(size, model.size() - at) : 0;
			ASSERT_EQ(pread(file, buffer.data(), size, static_cast<off_t>(at)),
				static_cast<ssize_t>(there));
			ASSERT_TRUE(std::equal(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(there),
				model.begin() + static_cast<ptrdiff_t>(there ? at : 0)));
		}
		}
	}
	close(file);
}

TEST_F(Remote_mount, has_readers_of_a_device_wait_and_polls)
{
	int const file = open_file("mailbox", O_RDWR | O_NONBLOCK);
	ASSERT_GE(file, 0);
	char byte = 0;
	EXPECT_EQ(read(file, &byte, 1), -1);
	EXPECT_EQ(errno, EAGAIN);
	pollfd polled{.fd = file, .events = POLLIN, .revents = 0};
	EXPECT_EQ(poll(&polled, 1, 0), 0);
	std::thread writer([&] {
		int const other = open_file("mailbox", O_WRONLY);
		EXPECT_EQ(write(other, "m", 1), 1);
		close(other);
	});
	EXPECT_EQ(poll(&polled, 1, 60'000), 1);
	writer.join();
	EXPECT_EQ(read(file, &byte, 1), 1);
	EXPECT_EQ(byte, 'm');
	close(file);
}

TEST_F(Remote_mount, lives_on_when_the_server_is_replaced)
{
	int const file = open_file("ram/a", O_RDWR | O_CREAT);
	int const device = open_file("mailbox", O_RDWR);
	ASSERT_TRUE(file >= 0 && device >= 0);
	ASSERT_EQ(write(file, "x", 1), 1);
	pollfd polled{.fd = device, .events = POLLIN, .revents = 0};
	ASSERT_EQ(poll(&polled, 1, 0), 0);
	int failed = 0;
	std::thread reader([&] {
		char byte = 0;
		int const own = open_file("mailbox", O_RDWR);
		// Who has asked fails; who asks later asks the next server, which doesn't know the file.
		failed = read(own, &byte, 1) < 0 ? errno : 0;
		close(own);
	});
	uint32_t waiting = 0;
	while (!waiting) ASSERT_EQ(ioctl(device, fuse::MAILBOX_WAITING, &waiting), 0);
	replace_server();
	reader.join();
	EXPECT_EQ(failed, EIO);
	EXPECT_EQ(poll(&polled, 1, 60'000), 1);
	EXPECT_TRUE(polled.revents & POLLERR);
	struct stat attributes{};
	EXPECT_EQ(write(file, "y", 1), -1);
	EXPECT_EQ(errno, ESTALE);
	EXPECT_EQ(stat(at("ram/a").c_str(), &attributes), -1);
	EXPECT_EQ(errno, ENOENT);
	close(file);
	close(device);
	std::ofstream(at("ram/a")) << "again";
	std::string text;
	std::ifstream(at("ram/a")) >> text;
	EXPECT_EQ(text, "again");
	for (unsigned i = 0; i < 5; ++i) replace_server();
	EXPECT_TRUE(std::filesystem::is_directory(at("ram")));
}

} // namespace
} // namespace bulkhead::remote
