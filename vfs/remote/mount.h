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

/*
 * Belongs to the loop's thread. The server's answers are checked as far as the kernel doesn't do it
 * itself: a server that lies can say what it likes of its files, but no more.
 */
class Kernel_mount
{
private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	/* How long requests wait for another server, counted from the end of the last one. */
	static constexpr uint64_t REFUSE_AFTER_US = 10'000'000;

	/*
	 * `fuse`: a descriptor of /dev/fuse, mounted by the time that it is used. It is set to
	 * non-blocking.
	 */
	Kernel_mount(linux_host::Loop &loop, linux_host::Owned_fd fuse,
		uint64_t refuse_after_us = REFUSE_AFTER_US);
	~Kernel_mount();

	/*
	 * Passes requests and answers until the stream ends (BROKEN_PIPE), or the server breaks the
	 * protocol or offers less than the one before (IO), or the mount ends (GONE). May be called
	 * again with another stream unless it has. Errors also: CANCELLED, OUT_OF_FRAMES, and those of
	 * `Loop::add`.
	 */
	Task<void> serve(Job &job, Stream &stream);

	/*
	 * A pause without a server: until a point in time (microseconds of the loop's clock). Requests
	 * wait meanwhile, and fail with EIO from `refuse_after_us` after the end of the last server on.
	 * Errors: GONE (the mount has ended), CANCELLED, those of `Loop::add`.
	 */
	Task<void> wait_without_server(Job &job, uint64_t until_us);
};

/*
 * Opens /dev/fuse and mounts it; for users other than root with the help of fusermount3, so it
 * blocks a moment. Without descriptor, `why` has the reason in words.
 */
linux_host::Owned_fd mount_fuse(std::string const &directory, std::string const &source,
	bool read_only, bool allow_other, std::string &why);

/* Takes such a mount away, also one whose server is gone; false: `why` has the reason. */
bool unmount_fuse(std::string const &directory, std::string &why);

} // namespace bulkhead::remote
