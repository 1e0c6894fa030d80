#pragma once

// A mounted tree for tests, served by a child process: /ram is a file system in memory, /mailbox a
// device that makes its readers wait, /volatile a directory like a host's, which others change.

#include "base/sync_wait.h"
#include "platform/linux/heap.h"
#include "platform/linux/signals.h"
#include "vfs/fuse/front_end.h"
#include "vfs/fuse/test/mailbox.h"
#include "vfs/fuse/test/volatile_directory.h"
#include "vfs/plugin/ram/ram.h"
#include "vfs/tree.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::fuse {

class Host_time final : public vfs::Calendar
{
public:
	int64_t now_ns() const override
	{
		timespec now{};
		clock_gettime(CLOCK_REALTIME, &now);
		return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
	}
};

/* What the child ends with. */
enum Served_exit { SERVED_WELL = 0, NOT_MOUNTED = 10, LEFT_OPEN = 11 };

class Served
{
private:
	std::string _directory;
	pid_t _child = -1;
	bool _again = false;

	class Stopper final : public Front_end::Unmounted
	{
	public:
		linux_host::Loop &loop;

		explicit Stopper(linux_host::Loop &l) : loop(l) {}
		void unmounted() override { loop.stop(); }
	};

	static int _serve(std::string const &directory, int ready)
	{
		linux_host::Loop loop;
		linux_host::Stop_signals signals(loop);
		linux_host::Heap heap;
		Host_time calendar;
		Mailbox mailbox;
		Volatile_directory changing;
		Stopper stopper(loop);
		vfs::Tree tree = vfs::Tree::create(heap, calendar).value();
		Ref<vfs::Node> ram = vfs::create_ram(heap, calendar, {}, {.mode = 01777}).value();
		if (!tree.attach("/ram", std::move(ram)).ok()) return NOT_MOUNTED;
		if (!tree.attach("/mailbox", Ref<vfs::Node>(mailbox)).ok()) return NOT_MOUNTED;
		if (!tree.attach("/volatile", Ref<vfs::Node>(changing)).ok()) return NOT_MOUNTED;
		if (!signals.start().ok()) return NOT_MOUNTED;
		{
			Front_end front_end(
				loop, Ref<vfs::Node>(tree.root()), {.mount_point = directory, .requests_max = 256});
			if (auto const problem = front_end.mount(&stopper)) {
				fprintf(stderr, "%s\n", problem->what.c_str());
				return NOT_MOUNTED;
			}
			(void)!write(ready, "+", 1);
			loop.run();
			Job_with_arena<4096> job(loop.executor());
			(void)sync_wait(job, front_end.stop(job), loop);
			if (front_end.pending() || front_end.open_files()) return LEFT_OPEN;
		}
		return mailbox.opened == mailbox.closed ? SERVED_WELL : LEFT_OPEN;
	}

public:
	/* In a directory of its own, or in one that is there already. */
	explicit Served(std::string directory = {}) : _directory(std::move(directory))
	{
		char name[] = "/tmp/bulkhead_fuse.XXXXXX";
		if (_directory.empty()) _directory = mkdtemp(name) ? name : "";
		start();
	}
	Served(Served const &) = delete;
	~Served()
	{
		if (running()) stop();
		unmount_lazily(_directory);
		rmdir(_directory.c_str());
	}

	/* False: it was not mounted. */
	bool start()
	{
		int ends[2];
		if (pipe(ends) != 0) abort();
		_child = fork();
		if (_child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(ends[0]);
			int const code = _serve(_directory, ends[1]);
			// Memory of other threads, which a child doesn't have, looks lost to it.
			if (_again) _exit(code);
			exit(code);
		}
		_again = true;
		close(ends[1]);
		char mark = 0;
		bool const ready = read(ends[0], &mark, 1) == 1;
		close(ends[0]);
		return ready;
	}

	bool running() const { return _child > 0; }
	pid_t child() const { return _child; }

	/* Waits for its end; the exit code, or 128 and the signal. */
	int wait()
	{
		int status = 0;
		waitpid(std::exchange(_child, -1), &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	int stop(int signal = SIGTERM)
	{
		kill(_child, signal);
		return wait();
	}

	std::string const &directory() const { return _directory; }
	std::string path(std::string const &name) const { return _directory + "/" + name; }
};

} // namespace bulkhead::fuse
