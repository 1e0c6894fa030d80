#include "platform/linux/heap.h"

#include <algorithm>
#include <cstdlib>

namespace bulkhead::linux_host {

Attempt<std::span<std::byte>> Heap::allocate(size_t size, size_t align)
{
	void *memory = nullptr;
	// An empty allocation has an address of its own, too.
	if (::posix_memalign(&memory, std::max(align, sizeof(void *)), std::max<size_t>(size, 1)) != 0)
		return Error::OUT_OF_MEMORY;
	return std::span<std::byte>(static_cast<std::byte *>(memory), size);
}

void Heap::free(void *memory, size_t) { std::free(memory); }

} // namespace bulkhead::linux_host
