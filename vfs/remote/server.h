#pragma once

// Serves a tree of files to one client over a stream, with Linux' FUSE protocol as payload: a
// kernel may be the client as it is (/dev/fuse, vfs/remote/mount.h), and so may remote::Client.
// What the protocol asks is answered by the same session that serves a mount (vfs/fuse).

#include "base/job.h"
#include "vfs/fuse/session.h"
#include "vfs/node.h"
#include "vfs/remote/stream.h"

#include <memory>
#include <string>

namespace bulkhead::remote {

/*
 * One client. Its end closes what it has open, gives up what it waits for, and frees all that it
 * held; nothing of it is shared with other clients but the nodes.
 *
 * A client is believed nothing: what it sends is copied, then checked. It says itself as which of
 * its users it asks, so permission bits keep its users apart, not the client from the files:
 * that is for `restricted` (rules.h).
 */
class Server
{
private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	/*
	 * What a client may hold: 16 KiB of memory for each operation that waits and at most twice
	 * IO_MAX for its bytes, 16 KiB for each handle while they close, and some hundred bytes for
	 * each node.
	 */
	static constexpr fuse::Session::Limits LIMITS{
		.operations = 256, .nodes = size_t{1} << 16, .handles = 1024};

	/*
	 * The client sees what is below `root` (wrapped already in what it may do: rules.h); `label` is
	 * its name, for the rules of devices. Of the limits, `io_bytes` is at most IO_MAX, and the
	 * generation 0 stands for any, so that the numbers of an earlier server find nothing.
	 */
	Server(Executor &executor, Ref<vfs::Node> root, std::string label,
		fuse::Session::Limits limits = LIMITS);
	~Server();

	/*
	 * Serves until the stream ends, or the client says so or breaks the protocol (IO); once. A
	 * client that doesn't take its answers stalls only itself: no more of its requests are read.
	 * `job.spin` says how often the stream is looked at before it sleeps, which is worth it for the
	 * only client. Errors also: OUT_OF_MEMORY, CANCELLED, OUT_OF_FRAMES. All files are closed by
	 * then; whatever a plugin does, that takes a few seconds at most.
	 */
	Task<void> serve(Job &job, Stream &stream);

	/* Requests that wait, and files that are open. */
	size_t pending() const;
	size_t open_files() const;
};

} // namespace bulkhead::remote
