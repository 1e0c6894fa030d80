#pragma once

// Between /dev/fuse and a stream: a kernel as the client of files that another domain serves. The
// requests pass as they are. When the server has gone and another one has come, the mount goes on:
// what was under way fails with EIO, open files with ESTALE, and the kernel looks names up anew.

#include "base/task.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"
#include "vfs/remote/stream.h"

#include <memory>
#include <string>

namespace bulkhead::remote {

class Kernel_mount
{
private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	/* `fuse`: a descriptor of /dev/fuse that is mounted, or about to be. */
	Kernel_mount(linux_host::Loop &loop, linux_host::Owned_fd fuse);
	~Kernel_mount();

	/*
	 * Passes requests and answers until the stream ends (BROKEN_PIPE; may be called again with
	 * another one) or the mount does (GONE). Requests that come while there is no stream wait until
	 * `refuse_after_us` have passed since its end, then fail with EIO.
	 */
	Task<void> serve(Job &job, Stream &stream);
	Task<void> wait_without_server(Job &job, uint64_t until_us);
};

/*
 * Opens /dev/fuse and mounts it. Error: negative errno, `why` in words. `unmount` also of a mount
 * whose server is gone.
 */
linux_host::Owned_fd mount_fuse(std::string const &directory, std::string const &source,
	bool read_only, bool allow_other, std::string &why);
bool unmount_fuse(std::string const &directory, std::string &why);

} // namespace bulkhead::remote
