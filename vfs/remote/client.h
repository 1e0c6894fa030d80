#pragma once

// A client of served files for components: any number of requests at a time, each a task of its
// own job. Speaks Linux' FUSE protocol (7.31 and later), as the kernel does.

#include "base/event.h"
#include "base/task.h"
#include "vfs/node.h"
#include "vfs/remote/stream.h"

#include <memory>
#include <span>
#include <string_view>

namespace bulkhead::remote {

/* Bytes of a single read or write at most. */
inline constexpr size_t IO_MAX = 128 * 1024;

/* An open file of a server. */
struct Remote_file
{
	uint64_t node = 0;
	uint64_t handle = 0;
};

/*
 * Belongs to the thread of its stream. The client's answers are checked as any other bytes: a
 * server that lies breaks its own connection. Errors of all: those of the server, mapped back from
 * errno; CANCELLED, OUT_OF_FRAMES, BROKEN_PIPE (the stream has ended), IO (the server broke the
 * protocol), OUT_OF_MEMORY.
 */
class Client
{
private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	struct Entry
	{
		uint64_t node = 0;
		vfs::Stat stat{};
	};

	Client(Executor &executor, Stream &stream);
	~Client();

	/* Greets the server, then takes in its answers until the stream ends: a job of its own. */
	Task<void> run(Job &job);

	/* Until the server has greeted. */
	Task<void> ready(Job &job);

	/* By path from the root that is served. */
	Task<Entry> lookup(Job &job, std::string_view path);
	Task<Remote_file> open(Job &job, std::string_view path, vfs::Access access);
	Task<size_t> read(Job &job, Remote_file file, Mutable_bytes to, uint64_t offset);
	Task<size_t> write(Job &job, Remote_file file, Bytes from, uint64_t offset);
	Task<void> sync(Job &job, Remote_file file);
	Task<void> close(Job &job, Remote_file file);
	Task<void> list(Job &job, std::string_view path, vfs::Entry_sink &sink);
	Task<void> create(Job &job, std::string_view path, vfs::New_node const &node);
	Task<void> remove(Job &job, std::string_view path, bool directory);
	Task<void> rename(Job &job, std::string_view from, std::string_view to);
	Task<void> change(Job &job, std::string_view path, vfs::Changes const &changes);
};

} // namespace bulkhead::remote
