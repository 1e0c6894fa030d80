#pragma once

// An open file as the kernel refers to it: the opener's state, who still uses it, and who waits in
// poll for it to become ready.

#include "base/event.h"
#include "vfs/fuse/libfuse.h"
#include "vfs/fuse/node_table.h"

namespace bulkhead::fuse {

class Handle final : public Watcher
{
private:
	fuse_pollhandle *_poll = nullptr;
	Event _unused{};
	unsigned _users = 0;

public:
	Located const location;
	Ref<vfs::File> const file;

	Handle(Located l, Ref<vfs::File> f) : location(std::move(l)), file(std::move(f)) {}
	~Handle() { forget_poll(); }

	/* Has the kernel told, once, when the readiness may have changed. Takes the handle over. */
	void poll(fuse_pollhandle *poll)
	{
		forget_poll();
		if (!linked() && !file->watch(*this).ok()) {
			// It never changes, so nobody needs to be told.
			fuse_pollhandle_destroy(poll);
			return;
		}
		_poll = poll;
	}

	/* Nobody wants to be told any more. */
	void forget_poll()
	{
		if (_poll) fuse_pollhandle_destroy(std::exchange(_poll, nullptr));
	}

	void changed() override
	{
		if (!_poll) return;
		fuse_lowlevel_notify_poll(_poll);
		forget_poll();
	}

	/* An operation that outlasts its request's arrival uses the handle. */
	void use() { ++_users; }
	void unuse()
	{
		if (--_users == 0) _unused.raise_all();
	}

	/* Whether an operation uses it, and the event that tells that none does any more. */
	bool used() const { return _users != 0; }
	Event &unused() { return _unused; }
};

} // namespace bulkhead::fuse
