#pragma once

// A client of served files for components: any number of requests at a time, each a task of its
// own job. Speaks Linux' FUSE protocol (7.31 and later), as the kernel does.

#include "base/event.h"
#include "base/task.h"
#include "vfs/node.h"
#include "vfs/remote/limits.h"
#include "vfs/remote/stream.h"

#include <memory>
#include <span>
#include <string_view>

namespace bulkhead::remote {

/* An open file of a server. Whoever opened it closes it, once. */
struct Remote_file
{
	uint64_t node = 0;
	uint64_t handle = 0;
	uint32_t flags = 0; // as of open(2)
};

/*
 * Belongs to the thread of its stream, which outlives it, and outlives the tasks that it has made.
 * Paths begin at the root that is served; symbolic links are not followed, ".." is INVALID. What is
 * handed in lives until the task has ended. A task that is cancelled has the server give up, too;
 * what it opens nevertheless is closed again.
 *
 * The client's answers are checked as any other bytes: a server that lies breaks its own
 * connection. Errors of all: those of the server, mapped back from errno; CANCELLED, TIMEOUT,
 * OUT_OF_FRAMES, BROKEN_PIPE (the stream has ended), IO (also: the server broke the protocol),
 * TOO_LONG (path or name), GONE (a file of another server).
 */
class Client
{
private:
	struct Inside;
	struct Call;
	struct Held_node;
	std::unique_ptr<Inside> _inside;

public:
	/* Requests that are under way at a time; more wait for their turn. */
	static constexpr size_t OUTSTANDING_MAX = 256;

	Client(Executor &executor, Stream &stream);
	~Client();

	/*
	 * Greets the server, then takes in its answers until the stream ends: a job of its own. Errors:
	 * CANCELLED, OUT_OF_FRAMES, IO; all requests that wait have failed then.
	 */
	Task<void> run(Job &job);

	/* Until the server has greeted. */
	Task<void> ready(Job &job);

	Task<vfs::Stat> stat(Job &job, std::string_view path);
	Task<Remote_file> open(Job &job, std::string_view path, vfs::Access access);
	/* At most IO_MAX bytes at a time are read or written; 0: the end, or nothing to read now. */
	Task<size_t> read(Job &job, Remote_file file, Mutable_bytes to, uint64_t offset);
	Task<size_t> write(Job &job, Remote_file file, Bytes from, uint64_t offset);
	Task<void> sync(Job &job, Remote_file file);
	Task<void> close(Job &job, Remote_file file);

	/* All entries but "." and "..", until the sink wants no more. */
	Task<void> list(Job &job, std::string_view path, vfs::Entry_sink &sink);
	Task<void> create(Job &job, std::string_view path, vfs::New_node const &node);
	Task<void> remove(Job &job, std::string_view path, bool directory);
	Task<void> rename(Job &job, std::string_view from, std::string_view to);
	Task<void> change(Job &job, std::string_view path, vfs::Changes const &changes);
};

} // namespace bulkhead::remote
