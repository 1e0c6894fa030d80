#pragma once

// The content of a file in memory: pages in a radix tree that is only as high as the highest page
// asks for. What was never written is a hole, which reads as zeros and takes no memory.

#include "base/allocator.h"
#include "base/bytes.h"
#include "vfs/plugin/ram/budget.h"

namespace bulkhead::vfs {

class Pages
{
public:
	static constexpr size_t PAGE_BYTES = 4096;

private:
	static constexpr unsigned FAN_BITS = 6;
	static constexpr size_t FAN = size_t{1} << FAN_BITS;

	struct Page
	{
		uint8_t bytes[PAGE_BYTES];
	};

	struct Index
	{
		void *slot[FAN]; // of indices, or of pages at the lowest level; null for a hole
	};

	Allocator &_allocator;
	Budget &_budget;
	void *_root = nullptr; // a page if the height is 0
	unsigned _height = 0;
	uint64_t _used = 0;

	template <typename T>
	T *_make();
	template <typename T>
	void _free(void *object);

	static size_t _slot_of(uint64_t page, unsigned level)
	{
		return page >> (FAN_BITS * (level - 1)) & (FAN - 1);
	}

	uint8_t *_find(uint64_t page) const
	{
		if (page >> (FAN_BITS * _height)) return nullptr;
		void *at = _root;
		for (unsigned level = _height; level && at; --level)
			at = static_cast<Index *>(at)->slot[_slot_of(page, level)];
		return static_cast<uint8_t *>(at);
	}

	Attempt<uint8_t *> _find_or_make(uint64_t page);
	void _cut(void *&slot, unsigned level, uint64_t first);
	void _read_pages(uint64_t offset, Mutable_bytes to) const;
	Attempt<size_t> _write_pages(uint64_t offset, Bytes from);

public:
	/* Both outlive the pages. */
	Pages(Allocator &allocator, Budget &budget) : _allocator(allocator), _budget(budget) {}
	Pages(Pages const &) = delete;
	Pages &operator=(Pages const &) = delete;
	~Pages() { cut(0); }

	/* Bytes of memory in use. */
	uint64_t used() const { return _used; }

	/* Fills the whole buffer. Offsets up to 2^63. */
	void read(uint64_t offset, Mutable_bytes to) const
	{
		size_t const in_page = offset % PAGE_BYTES;
		if (to.size() > PAGE_BYTES - in_page) return _read_pages(offset, to);
		uint8_t const *const page = _find(offset / PAGE_BYTES);
		if (page)
			__builtin_memcpy(to.data(), page + in_page, to.size());
		else
			fill_bytes(to, 0);
	}

	/*
	 * Writes as much as there is room for; returns how much that is. Errors: NO_SPACE,
	 * OUT_OF_MEMORY; only if nothing was written.
	 */
	Attempt<size_t> write(uint64_t offset, Bytes from)
	{
		size_t const in_page = offset % PAGE_BYTES;
		if (from.size() > PAGE_BYTES - in_page) return _write_pages(offset, from);
		uint8_t *page = _find(offset / PAGE_BYTES);
		if (!page) return _write_pages(offset, from);
		__builtin_memcpy(page + in_page, from.data(), from.size());
		return from.size();
	}

	/* From this size on all is zeros. */
	void cut(uint64_t size);
};

} // namespace bulkhead::vfs
