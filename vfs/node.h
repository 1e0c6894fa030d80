#pragma once

// What a file system is made of. A Node is a file, directory, link or device; a File is a node that
// somebody has opened. A plugin implements both; front ends (FUSE, vchan, a plain call) use them.
//
// Every operation returns a Task: one that is answered at once holds its result and costs no frame,
// one that must wait is a coroutine of the caller's job. A slow plugin therefore keeps nobody
// waiting but those who asked it, and every wait ends when the job is cancelled.

#include "base/bytes.h"
#include "base/counted.h"
#include "base/io.h"
#include "base/task.h"

#include <optional>
#include <string_view>

namespace bulkhead::vfs {

/* The longest name of a directory entry, and the longest target of a symbolic link, in bytes. */
inline constexpr size_t NAME_MAX_BYTES = 255;
inline constexpr size_t LINK_MAX_BYTES = 4095;

enum class Type : uint8_t { FILE, DIRECTORY, SYMLINK, CHAR_DEVICE };

struct Stat
{
	Type type = Type::FILE;
	uint16_t mode = 0; // permission bits, 07777
	uint32_t links = 1;
	uint32_t uid = 0;
	uint32_t gid = 0;
	uint64_t inode = 0; // unique within the plugin's instance
	uint64_t size = 0; // bytes
	uint64_t used = 0; // bytes of storage in use; less than the size for a sparse file
	int64_t accessed_ns = 0; // since 1970, as are the following
	int64_t modified_ns = 0;
	int64_t changed_ns = 0;
};

/* Attributes to change; what is absent stays. */
struct Changes
{
	std::optional<uint16_t> mode = {};
	std::optional<uint32_t> uid = {};
	std::optional<uint32_t> gid = {};
	std::optional<uint64_t> size = {}; // truncates, or extends with zeros
	std::optional<int64_t> accessed_ns = {};
	std::optional<int64_t> modified_ns = {};
};

/* A node to be made. */
struct New_node
{
	Type type = Type::FILE;
	uint16_t mode = 0644;
	std::string_view target = {}; // of a symbolic link
};

enum class Rename : uint8_t { REPLACE, NO_REPLACE, EXCHANGE };

struct Access
{
	bool read = true;
	bool write = false;
	bool append = false;
	bool truncate = false;
	bool nonblocking = false;
};

/* Storage of the file system that a node is in, in bytes and nodes; 0 of 0 where it has no limit.
 */
struct Space
{
	uint64_t total = 0;
	uint64_t free = 0;
	uint64_t nodes_total = 0;
	uint64_t nodes_free = 0;
};

/* Takes the entries of a directory. */
class Entry_sink
{
protected:
	~Entry_sink() = default;

public:
	/*
	 * An entry and the cookie at which reading goes on behind it. False: there is no more room, and
	 * this entry was not taken.
	 */
	virtual bool entry(std::string_view name, Type type, uint64_t inode, uint64_t next_cookie) = 0;
};

/*
 * A request to a device that is neither read nor write, as ioctl passes it.
 */
struct Control
{
	uint32_t command = 0;
	Bytes in = {};
	Mutable_bytes out = {};
};

class Static_directory;

/* An open file or directory with its opener's state. The last reference closes it. */
class File : public Counted
{
protected:
	~File() = default;

public:
	/* Reads at most the buffer. 0: end of file, or nothing to read now. */
	virtual Task<size_t> read(Job &, Mutable_bytes, Io) { return Error::NOT_SUPPORTED; }

	/* Writes; returns the bytes taken, which for a full file system are fewer than given. */
	virtual Task<size_t> write(Job &, Bytes, Io) { return Error::NOT_SUPPORTED; }

	/* Returns the bytes of `control.out` that were filled. */
	virtual Task<size_t> control(Job &, Control) { return Error::NOT_SUPPORTED; }

	/*
	 * Entries of a directory from a cookie on (0: the first), without "." and "..". An entry that
	 * is there throughout is told exactly once, whatever is made or removed meanwhile.
	 */
	virtual Task<void> read_directory(Job &, uint64_t, Entry_sink &)
	{
		return Error::NOT_A_DIRECTORY;
	}

	/* What was written is on the medium when the task has ended. */
	virtual Task<void> sync(Job &) { return Ok{}; }

	/* Whether `read` and `write` would go ahead without waiting. */
	virtual Readiness readiness() { return {.readable = true, .writable = true}; }

	/* Has the watcher told of changes of the readiness. NOT_SUPPORTED: it never changes. */
	virtual Attempt<void> watch(Watcher &) { return Error::NOT_SUPPORTED; }

	/*
	 * Ends what the opener has under way, once, before the last reference goes. The owner of the
	 * handle calls it when no operation on it is left.
	 */
	virtual Task<void> close(Job &) { return Ok{}; }
};

/*
 * A file, directory, symbolic link or device. Names are checked by the caller of these functions
 * (`valid_name`): they are not empty, not "." or "..", and hold neither '/' nor NUL. Access rights
 * are checked by the caller, too (`permitted`).
 */
class Node : public Counted
{
protected:
	~Node() = default;

public:
	virtual Type type() const = 0;

	/*
	 * Names the plugin's instance that the node belongs to. Only nodes of the same instance may be
	 * handed to `link` and `rename`; everything else is CROSS_DEVICE.
	 */
	virtual void const *instance() const { return this; }

	/* The node as a directory that other nodes are attached to, null if it is something else. */
	virtual Static_directory *static_directory() { return nullptr; }

	virtual Task<Stat> stat(Job &) = 0;
	virtual Task<void> change(Job &, Changes const &) { return Error::READ_ONLY; }
	virtual Task<Space> space(Job &) { return Space{}; }

	// Of files, directories and devices. NOT_SUPPORTED for symbolic links.
	virtual Task<Ref<File>> open(Job &, Credentials const &, Access)
	{
		return Error::NOT_SUPPORTED;
	}

	// Of symbolic links: the target's bytes, as many as fit.
	virtual Task<size_t> read_link(Job &, std::span<char>) { return Error::INVALID; }

	// Of directories. Errors: NOT_A_DIRECTORY, NOT_FOUND, EXISTS, NOT_EMPTY, READ_ONLY, NO_SPACE …
	virtual Task<Ref<Node>> lookup(Job &, std::string_view) { return Error::NOT_A_DIRECTORY; }
	virtual Task<Ref<Node>> create(Job &, Credentials const &, std::string_view, New_node const &)
	{
		return Error::READ_ONLY;
	}

	/* A further name for a node of the same plugin instance (else CROSS_DEVICE). */
	virtual Task<void> link(Job &, std::string_view, Node &) { return Error::READ_ONLY; }

	/* Removes an empty directory, or anything else; the wrong one is (NOT_)A_DIRECTORY. */
	virtual Task<void> remove(Job &, std::string_view, bool /* directory */)
	{
		return Error::READ_ONLY;
	}
	virtual Task<void> rename(
		Job &, std::string_view, Node & /* to directory */, std::string_view, Rename)
	{
		return Error::READ_ONLY;
	}

	/* Has the watcher told of changes of content, attributes or entries. */
	virtual Attempt<void> watch(Watcher &) { return Error::NOT_SUPPORTED; }

	/*
	 * How many microseconds a front end may remember this node's attributes and entries; 0 for what
	 * changes by itself (devices, files of a host).
	 */
	virtual uint32_t cache_us() const { return 0; }
};

} // namespace bulkhead::vfs
