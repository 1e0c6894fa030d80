#pragma once

// A directory for tests whose entries appear when somebody is about to make them, as if another
// program of the host had just been faster. All files are one and the same, and nothing of them may
// be remembered.

#include "vfs/node.h"

#include <string>

namespace bulkhead::fuse {

/* A file that is not cached. */
class Volatile_file final : public vfs::Node
{
private:
	class Open_file final : public vfs::File
	{
	private:
		Volatile_file &_file;

		void unreferenced() override { delete this; }

	public:
		explicit Open_file(Volatile_file &file) : _file(file) {}

		Task<size_t> read(Job &, Mutable_bytes to, Io io) override
		{
			if (io.offset >= _file._content.size()) return size_t{0};
			return copy_bytes(to, bytes_of(_file._content).subspan(io.offset));
		}
		Task<size_t> write(Job &, Bytes from, Io io) override
		{
			if (io.offset >= SIZE_MAX_BYTES) return Error::RANGE;
			if (io.offset + from.size() > _file._content.size())
				_file._content.resize(io.offset + from.size());
			_file._content.replace(io.offset, from.size(), text_of(from));
			return from.size();
		}
	};

	std::string _content{};

	void unreferenced() override {}

public:
	static constexpr uint64_t SIZE_MAX_BYTES = 1 << 20;

	vfs::Type type() const override { return vfs::Type::FILE; }
	Task<vfs::Stat> stat(Job &) override
	{
		return vfs::Stat{.mode = 0600, .inode = 2, .size = _content.size()};
	}
	Task<void> change(Job &, vfs::Changes const &changes) override
	{
		if (changes.size && *changes.size > SIZE_MAX_BYTES) return Error::RANGE;
		if (changes.size) _content.resize(*changes.size);
		return Ok{};
	}
	Task<Ref<vfs::File>> open(Job &, Credentials const &, vfs::Access) override
	{
		return Ref<vfs::File>(*new Open_file(*this));
	}
};

/* A symbolic link to "file". */
class Volatile_link final : public vfs::Node
{
private:
	void unreferenced() override {}

public:
	vfs::Type type() const override { return vfs::Type::SYMLINK; }
	Task<vfs::Stat> stat(Job &) override
	{
		return vfs::Stat{.type = type(), .mode = 0777, .inode = 3, .size = 4};
	}
	Task<size_t> read_link(Job &, std::span<char> to) override
	{
		return std::string_view("file").copy(to.data(), to.size());
	}
};

/* Holds "file", and "link" from when somebody tries to make it. */
class Volatile_directory final : public vfs::Node
{
private:
	Volatile_file _file{};
	Volatile_link _link{};
	bool _linked = false;

	void unreferenced() override {}

public:
	vfs::Type type() const override { return vfs::Type::DIRECTORY; }
	Task<vfs::Stat> stat(Job &) override
	{
		return vfs::Stat{.type = type(), .mode = 0777, .inode = 1};
	}
	Task<Ref<vfs::Node>> lookup(Job &, std::string_view name) override
	{
		if (name == "file") return Ref<vfs::Node>(_file);
		if (name == "link" && _linked) return Ref<vfs::Node>(_link);
		return Error::NOT_FOUND;
	}
	Task<Ref<vfs::Node>> create(
		Job &, Credentials const &, std::string_view, vfs::New_node const &) override
	{
		_linked = true;
		return Error::EXISTS;
	}
};

} // namespace bulkhead::fuse
