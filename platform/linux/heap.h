#pragma once

// The memory of the process, for programs on Linux that hand it to parts which take an Allocator.

#include "base/allocator.h"

#include <cstdlib>

namespace bulkhead::linux_host {

class Heap final : public Allocator
{
public:
	Attempt<std::span<std::byte>> allocate(size_t size, size_t align) override
	{
		void *memory = nullptr;
		// Nothing is an allocation with an address of its own, too.
		if (posix_memalign(&memory, std::max(align, sizeof(void *)), std::max<size_t>(size, 1)))
			return Error::OUT_OF_MEMORY;
		return std::span(static_cast<std::byte *>(memory), size);
	}

	void free(void *memory, size_t) override { std::free(memory); }
};

} // namespace bulkhead::linux_host
