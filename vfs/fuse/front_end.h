#pragma once

// A tree of nodes as a file system that Linux programs see, through FUSE.
//
//	fuse::Front_end front_end(loop, Ref<vfs::Node>(tree.root()), {.mount_point = "/run/x"});
//	if (auto problem = front_end.mount()) …
//	loop.run();
//	sync_wait(job, front_end.stop(job), loop);

#include "base/event.h"
#include "platform/linux/loop.h"
#include "vfs/fuse/mount_point.h"
#include "vfs/node.h"

#include <memory>
#include <string>

namespace bulkhead::fuse {

class Session;

class Front_end final : private linux_host::Loop::Source
{
public:
	struct Options
	{
		std::string mount_point;
		bool allow_other = false; // other users than the one who serves may look at it
		std::string label = "host"; // of the callers' credentials
		size_t requests_max = 4096; // that wait at a time, 16 KiB each and their data
	};

	/* Told when somebody else has unmounted the file system. */
	class Unmounted
	{
	protected:
		~Unmounted() = default;

	public:
		virtual void unmounted() = 0;
	};

private:
	linux_host::Loop &_loop;
	Options const _options;
	std::unique_ptr<Session> _session;
	Unmounted *_unmounted = nullptr;
	bool _mounted = false;

	void ready(uint32_t events) override;
	void _unmount();

public:
	/* The loop outlives the front end. */
	Front_end(linux_host::Loop &loop, Ref<vfs::Node> root, Options options);

	/* Unmounts, and gives up what `stop` has not ended. */
	~Front_end();

	/*
	 * Checks FUSE and the mount point, takes away what a crashed predecessor has left, mounts and
	 * begins to serve. Nothing is left behind if there is a problem.
	 */
	std::optional<Problem> mount(Unmounted *unmounted = nullptr);

	/*
	 * Ends it in order: fails what waits, unmounts, closes all open files. Takes a few seconds at
	 * most, whatever plugins do. Whoever has still a file open finds it disconnected.
	 */
	Task<void> stop(Job &job);

	/* Requests that wait now, and open files. */
	size_t pending() const;
	size_t open_files() const;
};

} // namespace bulkhead::fuse
