#pragma once

// The node of a character device, and what its opener holds.

#include "vfs/entries.h"
#include "vfs/plugin/char_device/char_device.h"
#include "vfs/plugin/char_device/control.h"

#include <array>

namespace bulkhead::vfs {

class Char_node;

/* An open device: a session. */
class Char_file final : public File, private Completion
{
private:
	Allocator &_allocator;
	Ref<Char_node> const _node;
	Char_session *_session = nullptr;
	// For an opener who goes without closing: the session still ends as it must.
	Job_with_arena<4096> _closing;
	Root _root{};

	void completed() override { destroy(_allocator, *this); }

	static Root _close_alone(Job &, Char_session &);
	Task<size_t> _set(Job &, Setting, uint64_t);
	Task<size_t> _act(Job &, Action);

protected:
	void unreferenced() override;

public:
	Char_file(Allocator &, Ref<Char_node>);

	/* The session is the file's from now on. */
	void begin(Char_session &session) { _session = &session; }

	/* Null before it has begun and after it was closed. */
	Char_session *session() const { return _session; }

	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
	{
		if (!_session) return Error::GONE;
		return _session->read(job, to, io);
	}
	Task<size_t> write(Job &job, Bytes from, Io io) override
	{
		if (!_session) return Error::GONE;
		return _session->write(job, from, io);
	}
	Task<size_t> control(Job &, Control) override;
	Readiness readiness() override
	{
		return _session ? _session->readiness() : Readiness{.hung_up = true};
	}
	Attempt<void> watch(Watcher &watcher) override
	{
		if (!_session) return Error::GONE;
		_session->watch(watcher);
		return Ok{};
	}
	Task<void> close(Job &job) override
	{
		if (!_session) return Ok{};
		return std::exchange(_session, nullptr)->close(job);
	}
};

class Char_node final : public Node
{
private:
	Allocator &_allocator;
	Executor &_executor;
	Ownership const _ownership;
	int64_t const _made_ns;
	std::array<std::optional<uint64_t>, SETTINGS> _initial{};

	Task<Ref<File>> _open(Job &, Opener, Ref<Char_file>);
	Task<void> _begin(Job &, Char_session &);

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Char_device &device;

	Char_node(Allocator &, Executor &, Calendar const &, Char_device &, Ownership const &);

	Executor &executor() const { return _executor; }

	/* What sessions begin with instead of the device's own value. */
	std::optional<uint64_t> &initial(Setting setting)
	{
		return _initial[static_cast<size_t>(setting)];
	}

	/* The value of a setting in a new session. Errors: BUSY (opened exclusively) and others. */
	Task<uint64_t> probe(Job &, Setting);

	/* Whether a new session takes a value. Errors: as of `Char_session::set`; BUSY. */
	Task<void> try_out(Job &, Setting, uint64_t);

	Type type() const override { return Type::CHAR_DEVICE; }
	Task<Stat> stat(Job &) override;
	Task<void> change(Job &, Changes const &) override;
	Task<Ref<File>> open(Job &, Credentials const &, Access) override;
};

} // namespace bulkhead::vfs
