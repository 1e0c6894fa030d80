#pragma once

// The system calls of the host plugin. They block and run on other threads; each takes what it
// needs and knows nothing of nodes.

#include "vfs/plugin/host/volume.h"

namespace bulkhead::vfs::host {

/*
 * The node of a name in a directory, or below it, without following symbolic links. Errors:
 * NOT_SUPPORTED (neither file, directory nor symbolic link), and those of the system.
 */
Attempt<Found> find(int directory, char const *path);

/* What an open file is. */
Attempt<Found> inspect(Unique_fd);
Attempt<Stat> stat(int fd);
Attempt<Space> space(int fd);

/* Opens what a descriptor (O_PATH) stands for. */
Attempt<Unique_fd> open_again(int proc, int fd, int flags);

Attempt<void> change(int proc, int fd, Type, Changes const &);
Attempt<size_t> read_link(int fd, Mutable_bytes to);

struct Creation
{
	Type type = Type::FILE;
	uint16_t mode = 0;
	uint32_t uid = 0;
	uint32_t gid = 0;
	char const *target = nullptr;
};

/*
 * Makes a node. As user 0 it gets the owner given, otherwise that of the process; the group is that
 * of a directory with the set-group-ID bit.
 */
Attempt<Found> create(int proc, int directory, char const *name, Creation const &);
Attempt<void> link(int proc, int fd, int directory, char const *name);
Attempt<Removed> remove(int directory, char const *name, bool is_directory);

struct Renamed
{
	Identity moved{};
	Removed replaced{}; // or exchanged
};
Attempt<Renamed> rename(int from, char const *name, int to, char const *new_name, Rename);

Attempt<size_t> read(int fd, uint64_t offset, Mutable_bytes to);
Attempt<size_t> write(int fd, uint64_t offset, Bytes from);

/* An entry as getdents64 has it. */
struct Entry
{
	std::string_view name{}; // empty: not shown
	Type type = Type::FILE;
	uint64_t inode = 0;
	uint64_t next_cookie = 0;
};

/* Fills memory with entries from a cookie on; returns the bytes that are filled, 0 at the end. */
Attempt<size_t> read_entries(int fd, uint64_t cookie, Mutable_bytes to);

/* Takes the first entry off what `read_entries` has filled. */
Entry take_entry(Bytes &entries);

} // namespace bulkhead::vfs::host
