#pragma once

// A device for tests: what one writes another one reads, and who finds nothing waits. It counts
// who opens and closes it, and takes ioctls.

#include "base/event.h"
#include "vfs/node.h"

#include <algorithm>
#include <string>
#include <sys/ioctl.h>

namespace bulkhead::fuse {

/* Gives its argument back, plus one. */
inline constexpr unsigned long MAILBOX_ADD = _IOWR('M', 1, uint32_t);

/* How many readers wait. */
inline constexpr unsigned long MAILBOX_WAITING = _IOR('M', 2, uint32_t);

class Mailbox final : public vfs::Node
{
private:
	class Open_mailbox final : public vfs::File
	{
	private:
		Mailbox &_mailbox;

		void unreferenced() override { delete this; }

	public:
		explicit Open_mailbox(Mailbox &mailbox) : _mailbox(mailbox) {}

		Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
		{
			return _mailbox._read(job, to, io);
		}
		Task<size_t> write(Job &, Bytes from, Io) override
		{
			_mailbox._contents += text_of(from);
			_mailbox._written.raise_all();
			_mailbox._watchers.notify();
			return from.size();
		}
		Task<size_t> control(Job &, vfs::Control control) override
		{
			uint32_t value = _mailbox._waiting;
			if (control.command == MAILBOX_ADD) {
				if (control.in.size() < sizeof value) return Error::INVALID;
				copy_bytes({reinterpret_cast<uint8_t *>(&value), sizeof value}, control.in);
				++value;
			} else if (control.command != MAILBOX_WAITING)
				return Error::NOT_SUPPORTED;
			return copy_bytes(
				control.out, {reinterpret_cast<uint8_t const *>(&value), sizeof value});
		}
		Readiness readiness() override
		{
			return {.readable = !_mailbox._contents.empty(), .writable = true};
		}
		Attempt<void> watch(Watcher &watcher) override
		{
			_mailbox._watchers.add(watcher);
			return Ok{};
		}
		Task<void> close(Job &) override
		{
			++_mailbox.closed;
			return Ok{};
		}
	};

	std::string _contents{};
	uint32_t _waiting = 0;
	Event _written{};
	Watchers _watchers{};

	void unreferenced() override {}

	size_t _take(Mutable_bytes to)
	{
		size_t const size = copy_bytes(to, bytes_of(_contents));
		_contents.erase(0, size);
		return size;
	}

	Task<size_t> _read(Job &job, Mutable_bytes to, Io io)
	{
		if (!_contents.empty()) return _take(to);
		if (io.nonblocking) return Error::WOULD_BLOCK;
		return _read_later(job, to);
	}

	Task<size_t> _read_later(Job &job, Mutable_bytes to)
	{
		while (_contents.empty()) {
			++_waiting;
			Attempt<void> const waited = co_await _written.wait(job);
			--_waiting;
			CO_TRY(waited);
		}
		co_return _take(to);
	}

public:
	unsigned opened = 0;
	unsigned closed = 0;

	vfs::Type type() const override { return vfs::Type::CHAR_DEVICE; }
	Task<vfs::Stat> stat(Job &) override
	{
		return vfs::Stat{.type = vfs::Type::CHAR_DEVICE, .mode = 0666, .inode = 1};
	}
	Task<Ref<vfs::File>> open(Job &, Credentials const &, vfs::Access) override
	{
		++opened;
		return Ref<vfs::File>(*new Open_mailbox(*this));
	}
};

} // namespace bulkhead::fuse
