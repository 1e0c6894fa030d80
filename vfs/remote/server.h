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
 */
class Server
{
private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	/*
	 * The client sees what is below `root` (wrapped already in what it may do: rules.h); `label` is
	 * its name, for the rules of devices.
	 */
	Server(
		Executor &executor, Ref<vfs::Node> root, std::string label, fuse::Session::Limits limits);
	~Server();

	/*
	 * Serves until the stream ends, or the client breaks the protocol (IO). A client that doesn't
	 * take its answers stalls only itself: no more of its requests are read.
	 */
	Task<void> serve(Job &job, Stream &stream);
};

} // namespace bulkhead::remote
