#pragma once

// The heap of the process as an Allocator.

#include "base/allocator.h"

namespace bulkhead::linux_host {

/* Safe to use from several threads. */
class Heap final : public Allocator
{
public:
	Attempt<std::span<std::byte>> allocate(size_t size, size_t align) override;
	void free(void *memory, size_t size) override;
};

} // namespace bulkhead::linux_host
