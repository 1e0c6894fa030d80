#pragma once

// An open file as the kernel refers to it: the opener's state, who still uses it, and who waits in
// poll for it to become ready.

#include "base/event.h"
#include "vfs/fuse/attributes.h"
#include "vfs/fuse/node_table.h"

namespace bulkhead::fuse {

class Handle;

/* The open files that have changed and are asked for: the watcher of a file only takes note. */
struct Changes
{
	List<Handle> handles{};
	Event any{};
};

class Handle final : public Watcher, public Link<Handle>
{
private:
	Changes &_changes;
	fuse_pollhandle *_poll = nullptr;
	unsigned _wanted = 0; // poll events that somebody waits for
	unsigned _told = 0; // those that the kernel knows to hold
	Event _unused{};
	unsigned _users = 0;

	void _forget_poll()
	{
		if (_poll) fuse_pollhandle_destroy(std::exchange(_poll, nullptr));
	}

public:
	Located const location;
	Ref<vfs::File> const file;
	vfs::Access const access; // what it was opened for, whatever is asked of it

	Handle(Changes &changes, Located l, Ref<vfs::File> f, vfs::Access a)
		: _changes(changes), location(std::move(l)), file(std::move(f)), access(a)
	{}
	~Handle() { _forget_poll(); }

	/*
	 * The events that hold. With a poll handle, which it takes over, the kernel is told once when
	 * one of the wanted events comes to hold that doesn't now. Not only to those who wait: whoever
	 * waits for edges doesn't ask again, and looks to FUSE like those who were content.
	 */
	unsigned poll(fuse_pollhandle *poll, unsigned wanted)
	{
		// Watching first: what changes afterwards is told.
		if (poll) {
			_forget_poll();
			_poll = poll;
			_wanted = wanted;
			// What never changes needn't be told.
			if (!Watcher::linked() && !file->watch(*this).ok()) _forget_poll();
		}
		_told = events_of(file->readiness());
		return _told;
	}

	void changed() override
	{
		if (!_poll || Link<Handle>::linked()) return;
		_changes.handles.push_back(*this);
		_changes.any.raise();
	}

	/* Tells the kernel what it waits for. */
	void tell()
	{
		unsigned const before = std::exchange(_told, events_of(file->readiness()));
		if (!_poll || !(_told & ~before & _wanted)) return;
		fuse_lowlevel_notify_poll(_poll);
		_forget_poll();
	}

	/* The file is about to close: nothing of it is told any more. */
	void leave()
	{
		Watcher::unlink();
		Link<Handle>::unlink();
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
