#pragma once

// The entries of a directory on their way into a readdir answer: taken while they fit, completed
// with attributes where the kernel wants them, and written in the kernel's format.

#include "vfs/fuse/libfuse.h"
#include "vfs/fuse/node_table.h"

#include <string>
#include <vector>

namespace bulkhead::fuse {

class Entry_list final : public vfs::Entry_sink
{
public:
	struct Entry
	{
		std::string name;
		uint64_t next_offset;
		fuse_entry_param attributes; // `ino` is 0 where the kernel is told the name only
	};

private:
	fuse_req_t _request;
	Located const &_directory;
	bool const _plus;
	size_t _room;
	std::vector<Entry> _entries{};

	bool _take(std::string_view name, vfs::Type type, uint64_t inode, uint64_t next_offset);

public:
	/* The first offsets are "." and "..", which directories don't tell. */
	static constexpr uint64_t OWN = 2;

	/*
	 * Cookies follow behind. The last offset that the kernel knows stands for all that would lie
	 * beyond it, which a host's file system uses for the end of a directory only.
	 */
	static constexpr uint64_t LAST = INT64_MAX;

	static constexpr uint64_t offset_of(uint64_t cookie)
	{
		return cookie > LAST - OWN ? LAST : cookie + OWN;
	}
	static constexpr uint64_t cookie_of(uint64_t offset)
	{
		if (offset < OWN) return 0;
		return offset == LAST ? LAST : offset - OWN;
	}

	/* `room` in bytes of the answer; `plus`: the answer has attributes. */
	Entry_list(fuse_req_t request, Located const &directory, size_t room, bool plus)
		: _request(request), _directory(directory), _plus(plus), _room(room)
	{}

	bool plus() const { return _plus; }

	/* Takes "." and ".." as far as they lie behind the offset; false if there is no room. */
	bool take_own(uint64_t offset);

	bool entry(
		std::string_view name, vfs::Type type, uint64_t inode, uint64_t next_cookie) override;

	std::vector<Entry> &entries() { return _entries; }

	/* Writes the answer; returns its size. */
	size_t write(Mutable_bytes to) const;
};

} // namespace bulkhead::fuse
