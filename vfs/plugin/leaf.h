#pragma once

// A file or device without state per opener: what is written once for null, zero, inline texts and
// the like.

#include "vfs/entries.h"
#include "vfs/plugin.h"

namespace bulkhead::vfs {

class Leaf : public Node
{
private:
	class Handle final : public File
	{
	private:
		Allocator &_allocator;
		Ref<Leaf> const _leaf;

	protected:
		void unreferenced() override { destroy(_allocator, *this); }

	public:
		Handle(Allocator &allocator, Ref<Leaf> leaf) : _allocator(allocator), _leaf(std::move(leaf))
		{}

		Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
		{
			return _leaf->read(job, to, io);
		}
		Task<size_t> write(Job &job, Bytes from, Io io) override
		{
			return _leaf->write(job, from, io);
		}
	};

	Ownership const _ownership;
	int64_t const _made_ns;

protected:
	Allocator &_allocator;

	~Leaf() = default;

public:
	Leaf(Allocator &allocator, Calendar const &calendar, Ownership const &ownership)
		: _ownership(ownership), _made_ns(calendar.now_ns()), _allocator(allocator)
	{}

	virtual uint64_t size() { return 0; }
	virtual Task<size_t> read(Job &, Mutable_bytes, Io) { return Error::NOT_SUPPORTED; }
	virtual Task<size_t> write(Job &, Bytes, Io) { return Error::NOT_SUPPORTED; }

	Type type() const override { return Type::CHAR_DEVICE; }

	Task<Stat> stat(Job &) override
	{
		return Stat{.type = type(),
			.mode = _ownership.mode,
			.uid = _ownership.uid,
			.gid = _ownership.gid,
			.inode = 1,
			.size = size(),
			.accessed_ns = _made_ns,
			.modified_ns = _made_ns,
			.changed_ns = _made_ns};
	}

	/* A device has nothing to truncate and no times: asking for it does no harm. */
	Task<void> change(Job &, Changes const &changes) override
	{
		if (type() != Type::CHAR_DEVICE || changes.mode || changes.uid || changes.gid)
			return Error::READ_ONLY;
		return Ok{};
	}

	Task<Ref<File>> open(Job &, Credentials const &, Access access) override
	{
		if (type() != Type::CHAR_DEVICE && access.write) return Error::READ_ONLY;
		return open_as<Handle>(_allocator, Ref<Leaf>(*this));
	}
};

/* What reading a text at an offset yields. */
inline size_t read_text(std::string_view text, Mutable_bytes to, uint64_t offset)
{
	return offset < text.size() ? copy_bytes(to, bytes_of(text.substr(offset))) : 0;
}

} // namespace bulkhead::vfs
