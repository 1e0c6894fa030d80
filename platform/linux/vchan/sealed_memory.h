#pragma once

// Memory that two processes share and neither can take away under the other: a memfd, sealed
// against shrinking and growing, so that no access to it can fault.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/vchan/connect_error.h"

#include <cstddef>
#include <memory>
#include <span>

namespace bulkhead::linux_host {

/* Mapped readable and writable as long as this object lives. */
class Sealed_memory
{
private:
	struct Unmap
	{
		size_t bytes;

		void operator()(std::byte *start) const;
	};

	std::unique_ptr<std::byte, Unmap> _start{};

public:
	/* New memory, all 0 and not mapped. Errors: TOO_MANY_OPEN, OUT_OF_MEMORY, SYSTEM (`errno`). */
	static Attempt<Owned_fd, Connect_error> create(size_t bytes);

	/*
	 * Maps memory that somebody has handed over, whole. Errors: BAD_MEMORY (no memfd, not sealed
	 * against shrinking, of huge pages, empty or above 1 GiB), OUT_OF_MEMORY, SYSTEM (`errno`).
	 */
	static Attempt<Sealed_memory, Connect_error> map(int memory);

	/*
	 * Maps memory that this process, or one that it trusts, has just made, with system calls that
	 * every component has. Errors: OUT_OF_MEMORY, SYSTEM (`errno`).
	 */
	static Attempt<Sealed_memory, Connect_error> map_own(int memory, size_t bytes);

	std::span<std::byte> bytes() const
	{
		return {_start.get(), _start ? _start.get_deleter().bytes : 0};
	}
};

} // namespace bulkhead::linux_host
