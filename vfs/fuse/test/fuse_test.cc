#include "vfs/fuse/test/served.h"

#include <atomic>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <poll.h>
#include <set>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <thread>

namespace bulkhead::fuse {
namespace {

class File_descriptor
{
public:
	int const fd;

	explicit File_descriptor(std::string const &path, int flags = O_RDWR, mode_t mode = 0644)
		: fd(::open(path.c_str(), flags | O_CLOEXEC, mode))
	{}
	~File_descriptor()
	{
		if (fd >= 0) ::close(fd);
	}
	operator int() const { return fd; }
};

/* As much as can be read. */
std::string slurp(std::string const &path)
{
	File_descriptor const file(path, O_RDONLY);
	std::string text;
	char buffer[65536];
	for (ssize_t size = 0; (size = read(file, buffer, sizeof buffer)) > 0;)
		text.append(buffer, static_cast<size_t>(size));
	return text;
}

void spill(std::string const &path, std::string const &text)
{
	File_descriptor const file(path, O_WRONLY | O_CREAT | O_TRUNC);
	(void)!write(file, text.data(), text.size());
}

std::set<std::string> entries(std::string const &path)
{
	std::set<std::string> names;
	DIR *const directory = opendir(path.c_str());
	if (!directory) return names;
	while (dirent const *const entry = readdir(directory))
		EXPECT_TRUE(names.insert(entry->d_name).second) << entry->d_name << " is told twice";
	closedir(directory);
	return names;
}

/* Returns when so many readers wait at the mailbox. */
void await_readers(Served const &served, uint32_t wanted)
{
	File_descriptor const device(served.path("mailbox"));
	uint32_t waiting = 0;
	while (waiting < wanted && ioctl(device, MAILBOX_WAITING, &waiting) == 0)
		std::this_thread::yield();
}

TEST(Fuse, keeps_what_is_written)
{
	Served served;
	std::string const path = served.path("ram/file");
	std::string const text(300'000, 'x');
	spill(path, text);
	EXPECT_EQ(slurp(path), text);
	struct stat found{};
	ASSERT_EQ(stat(path.c_str(), &found), 0);
	EXPECT_EQ(found.st_size, 300'000);
	EXPECT_EQ(truncate(path.c_str(), 10), 0);
	EXPECT_EQ(slurp(path), text.substr(0, 10));
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Fuse, names_are_made_changed_and_removed)
{
	Served served;
	std::string const a = served.path("ram/a"), b = served.path("ram/b"), d = served.path("ram/d");
	spill(a, "1");
	spill(b, "2");
	EXPECT_EQ(renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_NOREPLACE), -1);
	EXPECT_EQ(errno, EEXIST);
	EXPECT_EQ(renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE), 0);
	EXPECT_EQ(slurp(a), "2");
	EXPECT_EQ(rename(a.c_str(), b.c_str()), 0);
	EXPECT_EQ(slurp(b), "2");
	EXPECT_EQ(link(b.c_str(), a.c_str()), 0);
	struct stat first{}, second{};
	ASSERT_EQ(stat(a.c_str(), &first), 0);
	ASSERT_EQ(stat(b.c_str(), &second), 0);
	EXPECT_EQ(first.st_ino, second.st_ino);
	EXPECT_EQ(first.st_nlink, 2u);
	EXPECT_EQ(mkdir(d.c_str(), 0750), 0);
	EXPECT_EQ(symlink("../b", (d + "/link").c_str()), 0);
	EXPECT_EQ(slurp(d + "/link"), "2");
	EXPECT_EQ(rmdir(d.c_str()), -1);
	EXPECT_EQ(errno, ENOTEMPTY);
	EXPECT_EQ(unlink(d.c_str()), -1);
	EXPECT_EQ(errno, EISDIR);
	EXPECT_EQ(unlink((d + "/link").c_str()), 0);
	EXPECT_EQ(rmdir(d.c_str()), 0);
	EXPECT_EQ(mkdir(served.path("ram/" + std::string(256, 'n')).c_str(), 0755), -1);
	EXPECT_EQ(errno, ENAMETOOLONG);
	EXPECT_EQ(mkfifo(served.path("ram/fifo").c_str(), 0644), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(rename(b.c_str(), served.path("other").c_str()), -1);
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Fuse, a_large_directory_is_told_completely)
{
	Served served;
	std::set<std::string> expected{".", ".."};
	for (unsigned i = 0; i < 3000; ++i) {
		std::string const name = "entry-with-a-long-name-" + std::to_string(i);
		spill(served.path("ram/" + name), "");
		expected.insert(name);
	}
	EXPECT_EQ(entries(served.path("ram")), expected);
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Fuse, files_of_different_plugins_have_different_numbers)
{
	Served served;
	spill(served.path("ram/file"), "");
	std::map<ino_t, std::string> seen;
	for (std::string const name : {"", "ram", "mailbox", "ram/file"}) {
		struct stat found{};
		ASSERT_EQ(stat(served.path(name).c_str(), &found), 0);
		EXPECT_TRUE(seen.emplace(found.st_ino, name).second)
			<< name << " looks like " << seen[found.st_ino];
	}
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Fuse, an_unlinked_file_lives_until_it_is_closed)
{
	Served served;
	std::string const path = served.path("ram/gone");
	File_descriptor const file(path, O_RDWR | O_CREAT);
	ASSERT_EQ(write(file, "still", 5), 5);
	ASSERT_EQ(unlink(path.c_str()), 0);
	char text[5];
	EXPECT_EQ(pread(file, text, 5, 0), 5);
	struct stat found{};
	EXPECT_EQ(fstat(file, &found), 0);
	EXPECT_EQ(found.st_nlink, 0u);
}

TEST(Fuse, files_can_be_mapped)
{
	Served served;
	std::string const path = served.path("ram/mapped");
	spill(path, std::string(10'000, 'a'));
	File_descriptor const file(path);
	void *const memory = mmap(nullptr, 10'000, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(memory, MAP_FAILED);
	static_cast<char *>(memory)[5000] = 'b';
	ASSERT_EQ(msync(memory, 10'000, MS_SYNC), 0);
	munmap(memory, 10'000);
	EXPECT_EQ(slurp(path)[5000], 'b');
}

TEST(Fuse, an_empty_file_that_is_not_cached_can_be_mapped)
{
	Served served;
	File_descriptor const file(served.path("volatile/file"));
	ASSERT_EQ(ftruncate(file, 4096), 0);
	void *const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(memory, MAP_FAILED) << strerror(errno);
	static_cast<char *>(memory)[100] = 'b';
	ASSERT_EQ(msync(memory, 4096, MS_SYNC), 0);
	munmap(memory, 4096);
	EXPECT_EQ(slurp(served.path("volatile/file"))[100], 'b');
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Fuse, what_appears_while_it_is_made_is_opened_as_what_it_is)
{
	Served served;
	std::string const path = served.path("volatile/link");
	EXPECT_EQ(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644), -1);
	EXPECT_EQ(errno, EEXIST);
	ASSERT_EQ(served.stop(), SERVED_WELL);
	ASSERT_TRUE(served.start());
	File_descriptor const file(path, O_RDWR | O_CREAT);
	ASSERT_GE(file.fd, 0) << strerror(errno);
	EXPECT_EQ(write(file, "text", 4), 4);
	EXPECT_EQ(slurp(served.path("volatile/file")), "text");
}

TEST(Fuse, what_the_host_finds_too_large_is_too_large)
{
	Served served;
	File_descriptor const file(served.path("volatile/file"));
	EXPECT_EQ(ftruncate(file, Volatile_file::SIZE_MAX_BYTES + 1), -1);
	EXPECT_EQ(errno, EFBIG);
	EXPECT_EQ(pwrite(file, "x", 1, Volatile_file::SIZE_MAX_BYTES), -1);
	EXPECT_EQ(errno, EFBIG);
}

TEST(Fuse, a_device_ignores_offsets)
{
	Served served;
	File_descriptor const device(served.path("mailbox"));
	EXPECT_EQ(pwrite(device, "ab", 2, 1 << 20), 2);
	char text[2];
	EXPECT_EQ(pread(device, text, 1, 12345), 1);
	EXPECT_EQ(read(device, text + 1, 1), 1);
	EXPECT_EQ(std::string(text, 2), "ab");
	EXPECT_NE(lseek(device, 0, SEEK_SET), -1);
}

TEST(Fuse, a_nonblocking_read_finds_nothing)
{
	Served served;
	File_descriptor const device(served.path("mailbox"), O_RDWR | O_NONBLOCK);
	char byte = 0;
	EXPECT_EQ(read(device, &byte, 1), -1);
	EXPECT_EQ(errno, EAGAIN);
	// The flag counts as it is at the time of the request.
	ASSERT_EQ(fcntl(device, F_SETFL, 0), 0);
	std::thread writer([&] { (void)!pwrite(device, "x", 1, 0); });
	EXPECT_EQ(read(device, &byte, 1), 1);
	writer.join();
}

TEST(Fuse, poll_is_woken_by_a_change)
{
	Served served;
	File_descriptor const device(served.path("mailbox"));
	pollfd wanted{.fd = device, .events = POLLIN | POLLOUT, .revents = 0};
	EXPECT_EQ(poll(&wanted, 1, 0), 1);
	EXPECT_EQ(wanted.revents, POLLOUT);
	for (unsigned i = 0; i < 3; ++i) {
		wanted.events = POLLIN;
		EXPECT_EQ(poll(&wanted, 1, 0), 0);
		std::thread writer([&] { (void)!write(device, "x", 1); });
		EXPECT_EQ(poll(&wanted, 1, 60'000), 1);
		EXPECT_EQ(wanted.revents, POLLIN);
		writer.join();
		char byte = 0;
		EXPECT_EQ(read(device, &byte, 1), 1);
	}
	File_descriptor const regular(served.path("ram/file"), O_RDWR | O_CREAT);
	pollfd always{.fd = regular, .events = POLLIN | POLLOUT, .revents = 0};
	EXPECT_EQ(poll(&always, 1, 0), 1);
	EXPECT_EQ(always.revents, POLLIN | POLLOUT);
}

TEST(Fuse, an_edge_is_told_to_those_who_wait_for_it)
{
	Served served;
	File_descriptor const device(served.path("mailbox"));
	int const epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_event wanted{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {}};
	ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, device, &wanted), 0);
	epoll_event got{};
	// It is writable from the beginning, and this is told once.
	ASSERT_EQ(epoll_wait(epoll, &got, 1, 60'000), 1);
	EXPECT_EQ(got.events, uint32_t{EPOLLOUT});
	EXPECT_EQ(epoll_wait(epoll, &got, 1, 0), 0);
	std::thread writer([&] { (void)!write(device, "x", 1); });
	EXPECT_EQ(epoll_wait(epoll, &got, 1, 10'000), 1);
	EXPECT_EQ(got.events, uint32_t{EPOLLIN | EPOLLOUT});
	writer.join();
	close(epoll);
}

TEST(Fuse, ioctls_reach_the_file)
{
	Served served;
	File_descriptor const device(served.path("mailbox"));
	uint32_t value = 41;
	EXPECT_EQ(ioctl(device, MAILBOX_ADD, &value), 0);
	EXPECT_EQ(value, 42u);
	EXPECT_EQ(ioctl(device, _IOW('M', 9, uint32_t), &value), -1);
	EXPECT_EQ(errno, ENOTTY);
	EXPECT_FALSE(isatty(device));
}

TEST(Fuse, a_signal_ends_a_read_that_waits)
{
	Served served;
	struct sigaction action{};
	struct sigaction before{};
	action.sa_handler = [](int) {};
	sigaction(SIGUSR1, &action, &before);
	std::atomic<int> outcome{0};
	std::atomic<bool> ended{false};
	std::thread reader([&] {
		File_descriptor const device(served.path("mailbox"));
		char byte = 0;
		outcome = read(device, &byte, 1) < 0 ? errno : 0;
		ended = true;
	});
	while (!ended) {
		pthread_kill(reader.native_handle(), SIGUSR1);
		std::this_thread::sleep_for(std::chrono::milliseconds(1));
	}
	reader.join();
	sigaction(SIGUSR1, &before, nullptr);
	EXPECT_EQ(outcome, EINTR);
	spill(served.path("ram/after"), "fine");
	EXPECT_EQ(slurp(served.path("ram/after")), "fine");
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Fuse, readers_that_wait_keep_nobody_waiting)
{
	constexpr unsigned READERS = 200;
	Served served;
	std::vector<std::thread> readers;
	std::atomic<unsigned> got{0};
	File_descriptor const device(served.path("mailbox"));
	for (unsigned i = 0; i < READERS; ++i)
		readers.emplace_back([&] {
			char byte = 0;
			if (pread(device, &byte, 1, 0) == 1) ++got;
		});
	await_readers(served, READERS);
	spill(served.path("ram/file"), "meanwhile");
	EXPECT_EQ(slurp(served.path("ram/file")), "meanwhile");
	std::string const letters(READERS, 'x');
	EXPECT_EQ(write(device, letters.data(), letters.size()), static_cast<ssize_t>(READERS));
	for (std::thread &reader : readers) reader.join();
	EXPECT_EQ(got, READERS);
}

TEST(Fuse, more_requests_than_the_limit_fail)
{
	constexpr unsigned READERS = 300; // the limit is 256
	Served served;
	std::vector<std::thread> readers;
	std::atomic<unsigned> failed{0}, got{0};
	File_descriptor const device(served.path("mailbox"));
	for (unsigned i = 0; i < READERS; ++i)
		readers.emplace_back([&] {
			char byte = 0;
			if (pread(device, &byte, 1, 0) == 1)
				++got;
			else if (errno == ENOMEM)
				++failed;
		});
	while (failed < READERS - 256) std::this_thread::yield();
	// Whoever is through makes room: those who write are let in as soon as somebody was refused.
	ASSERT_EQ(kill(served.child(), SIGTERM), 0);
	for (std::thread &reader : readers) reader.join();
	EXPECT_EQ(failed, READERS - 256);
	EXPECT_EQ(got, 0u);
	EXPECT_EQ(served.wait(), SERVED_WELL);
}

TEST(Fuse, stops_in_order_while_readers_wait_and_files_are_open)
{
	Served served;
	File_descriptor const file(served.path("ram/open"), O_RDWR | O_CREAT);
	std::thread reader([&] {
		File_descriptor const device(served.path("mailbox"));
		char byte = 0;
		EXPECT_EQ(read(device, &byte, 1), -1);
	});
	await_readers(served, 1);
	EXPECT_EQ(served.stop(), SERVED_WELL);
	reader.join();
	EXPECT_EQ(write(file, "x", 1), -1);
	EXPECT_EQ(errno, ENOTCONN);
	EXPECT_EQ(mounted_type(served.directory()), "");
}

TEST(Fuse, ends_when_it_is_unmounted)
{
	Served served;
	ASSERT_TRUE(unmount_lazily(served.directory()));
	EXPECT_EQ(served.wait(), SERVED_WELL);
}

TEST(Fuse, a_busy_mount_stays_until_it_is_left)
{
	if (geteuid() != 0) GTEST_SKIP() << "needs umount(2)";
	Served served;
	{
		File_descriptor const file(served.path("ram/open"), O_RDWR | O_CREAT);
		EXPECT_EQ(umount2(served.directory().c_str(), 0), -1);
		EXPECT_EQ(errno, EBUSY);
		EXPECT_EQ(write(file, "x", 1), 1);
	}
	EXPECT_EQ(umount2(served.directory().c_str(), 0), 0);
	EXPECT_EQ(served.wait(), SERVED_WELL);
}

TEST(Fuse, starts_again_after_it_was_killed_under_load)
{
	Served served;
	std::atomic<bool> stop{false};
	std::vector<std::thread> load;
	for (unsigned i = 0; i < 4; ++i)
		load.emplace_back([&, i] {
			std::string const path = served.path("ram/load" + std::to_string(i));
			while (!stop) {
				spill(path, "some text");
				slurp(path);
				unlink(path.c_str());
			}
		});
	std::thread reader([&] {
		File_descriptor const device(served.path("mailbox"));
		char byte = 0;
		EXPECT_NE(read(device, &byte, 1), 1);
	});
	for (unsigned i = 0; i < 5; ++i) {
		if (i == 0) await_readers(served, 1);
		EXPECT_EQ(served.stop(SIGKILL), 128 + SIGKILL);
		struct statvfs found{};
		EXPECT_EQ(statvfs(served.directory().c_str(), &found), -1);
		EXPECT_EQ(errno, ENOTCONN);
		ASSERT_TRUE(served.start());
		spill(served.path("ram/again"), "works");
		EXPECT_EQ(slurp(served.path("ram/again")), "works");
	}
	stop = true;
	for (std::thread &thread : load) thread.join();
	reader.join();
	EXPECT_EQ(served.stop(), SERVED_WELL);
}

TEST(Mount_point, a_symbolic_link_is_where_it_leads)
{
	char name[] = "/tmp/bulkhead_link.XXXXXX";
	std::string const above = mkdtemp(name);
	std::string const directory = above + "/d", link = above + "/l";
	ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
	ASSERT_EQ(symlink("d", link.c_str()), 0);
	EXPECT_EQ(real_mount_point(link), directory);
	EXPECT_EQ(real_mount_point(directory + "/"), directory);
	EXPECT_EQ(real_mount_point("/none/x"), "/none/x");
	{
		Served served(link);
		EXPECT_EQ(mounted_type(directory), "fuse.bulkhead");
		EXPECT_EQ(served.stop(), SERVED_WELL);
		EXPECT_EQ(mounted_type(directory), "");
	}
	unlink(link.c_str());
	rmdir(directory.c_str());
	EXPECT_EQ(rmdir(above.c_str()), 0);
}

TEST(Mount_point, says_what_is_wrong_with_it)
{
	using Kind = Problem::Kind;
	char name[] = "/tmp/bulkhead_mount.XXXXXX";
	std::string const directory = mkdtemp(name);
	EXPECT_FALSE(prepare_mount_point(directory));
	EXPECT_EQ(prepare_mount_point(directory + "/missing")->kind, Kind::NO_MOUNT_POINT);
	spill(directory + "/file", "");
	EXPECT_EQ(prepare_mount_point(directory + "/file")->kind, Kind::NO_MOUNT_POINT);
	EXPECT_EQ(prepare_mount_point(directory)->kind, Kind::IN_USE);
	EXPECT_EQ(prepare_mount_point("/proc")->kind, Kind::IN_USE);
	unlink((directory + "/file").c_str());
	{
		Served served(directory);
		auto const problem = prepare_mount_point(directory + "/");
		ASSERT_TRUE(problem);
		EXPECT_EQ(problem->kind, Kind::IN_USE);
		EXPECT_NE(problem->what.find("another bulkhead"), std::string::npos) << problem->what;
	}
	EXPECT_EQ(check_fuse("/dev/nonexistent")->kind, Kind::NO_FUSE);
}

} // namespace
} // namespace bulkhead::fuse
