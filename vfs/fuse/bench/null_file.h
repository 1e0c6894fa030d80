#pragma once

// A file that gives as many zeros as one wants, at once: what is measured is the way to it.

#include "vfs/node.h"

namespace bulkhead::fuse {

class Null_file final : public vfs::File
{
private:
	static constexpr size_t MAX = 1 << 20;

	void unreferenced() override {}

public:
	Task<size_t> read(Job &, Mutable_bytes to, Io) override { return to.size(); }
	Task<size_t> write(Job &, Bytes from, Io) override { return from.size(); }
};

class Null_node final : public vfs::Node
{
private:
	Null_file _file{};

	void unreferenced() override {}

public:
	vfs::Type type() const override { return vfs::Type::CHAR_DEVICE; }
	Task<vfs::Stat> stat(Job &) override
	{
		return vfs::Stat{.type = vfs::Type::CHAR_DEVICE, .mode = 0666, .inode = 2};
	}
	Task<Ref<vfs::File>> open(Job &, Credentials const &, vfs::Access) override
	{
		return Ref<vfs::File>(_file);
	}
	uint32_t cache_us() const override { return 1'000'000; }
};

/* A directory with nothing but "null" in it. */
class Null_directory final : public vfs::Node
{
private:
	Null_node _node{};

	void unreferenced() override {}

public:
	vfs::Type type() const override { return vfs::Type::DIRECTORY; }
	Task<vfs::Stat> stat(Job &) override
	{
		return vfs::Stat{.type = vfs::Type::DIRECTORY, .mode = 0755, .inode = 1};
	}
	Task<Ref<vfs::Node>> lookup(Job &, std::string_view name) override
	{
		if (name != "null") return Error::NOT_FOUND;
		return Ref<vfs::Node>(_node);
	}
	uint32_t cache_us() const override { return 1'000'000; }
};

} // namespace bulkhead::fuse
