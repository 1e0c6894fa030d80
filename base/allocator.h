#pragma once

// Memory that is handed in. What is made at run time (a session, a node, a mount) is made by an
// Allocator that its maker was given, never by a global heap.

#include "base/attempt.h"

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace bulkhead {

class Allocator
{
protected:
	~Allocator() = default;

public:
	/*
	 * Memory of at least `size` bytes (the view has exactly `size`), aligned to `align`, a power
	 * of two. Error: OUT_OF_MEMORY. Does not block.
	 */
	virtual Attempt<std::span<std::byte>> allocate(size_t size, size_t align) = 0;

	/* Takes memory back; `size` is the one it was allocated with. */
	virtual void free(void *memory, size_t size) = 0;
};

/*
 * Makes an object. Whoever called destroys it, with the same allocator. Error: OUT_OF_MEMORY.
 */
template <typename T, typename... ARGS>
Attempt<T &> create(Allocator &allocator, ARGS &&...args)
{
	auto memory = allocator.allocate(sizeof(T), alignof(T));
	if (!memory.ok()) return memory.error();
	return *::new (static_cast<void *>(memory.value().data())) T(std::forward<ARGS>(args)...);
}

/* Only the type that an object was made with tells how much memory goes back. */
template <typename T>
concept Destroyable_as_itself = !std::is_polymorphic_v<T> || std::is_final_v<T>;

template <Destroyable_as_itself T>
void destroy(Allocator &allocator, T &object)
{
	std::destroy_at(&object);
	allocator.free(&object, sizeof(T));
}

/* Makes `count` objects with their default value. Error: OUT_OF_MEMORY. */
template <typename T>
Attempt<std::span<T>> create_array(Allocator &allocator, size_t count)
{
	if (count > std::numeric_limits<size_t>::max() / sizeof(T)) return Error::OUT_OF_MEMORY;
	auto memory = allocator.allocate(count * sizeof(T), alignof(T));
	if (!memory.ok()) return memory.error();
	T *const first = reinterpret_cast<T *>(memory.value().data());
	std::uninitialized_value_construct_n(first, count);
	return std::span<T>(first, count);
}

template <typename T>
void destroy_array(Allocator &allocator, std::span<T> objects)
{
	std::destroy(objects.begin(), objects.end());
	allocator.free(objects.data(), objects.size_bytes());
}

/*
 * An allocator over a piece of memory of the caller's, which outlives it. Freed memory is used
 * again, and neighbours grow together. The search takes as long as there are gaps. Of one thread.
 */
class Arena_allocator : public Allocator
{
private:
	static constexpr size_t GRANULE = 16;

	// A gap; gaps are in the order of their addresses and don't touch.
	struct Gap
	{
		size_t size;
		Gap *next;
	};

	static_assert(sizeof(Gap) <= GRANULE);

	Gap *_gaps = nullptr;
	std::byte *_begin = nullptr;
	std::byte *_end = nullptr;
	size_t _used = 0;

	static std::byte *_address(Gap *gap) { return reinterpret_cast<std::byte *>(gap); }
	static Gap *_make_gap(std::byte *at, size_t size, Gap *next)
	{
		return ::new (static_cast<void *>(at)) Gap{size, next};
	}

	// Zero bytes are one granule, too: each allocation has an address of its own.
	static size_t _granules(size_t size)
	{
		return size <= GRANULE ? GRANULE : (size + GRANULE - 1) & ~(GRANULE - 1);
	}

	static size_t _misalignment(std::byte const *at, size_t align)
	{
		return (0 - reinterpret_cast<uintptr_t>(at)) & (align - 1);
	}

public:
	/* The ends of the memory are trimmed to 16 bytes. */
	explicit Arena_allocator(std::span<std::byte> memory)
	{
		size_t const trim = _misalignment(memory.data(), GRANULE);
		if (memory.size() < trim + GRANULE) return;
		size_t const size = (memory.size() - trim) & ~(GRANULE - 1);
		_begin = memory.data() + trim;
		_end = _begin + size;
		_gaps = _make_gap(_begin, size, nullptr);
	}

	Arena_allocator(Arena_allocator const &) = delete;
	Arena_allocator &operator=(Arena_allocator const &) = delete;

	/* Bytes in use and in total, in whole granules of 16 bytes. */
	size_t used() const { return _used; }
	size_t capacity() const { return static_cast<size_t>(_end - _begin); }

	Attempt<std::span<std::byte>> allocate(size_t size, size_t align) override
	{
		BULKHEAD_ASSERT(align && (align & (align - 1)) == 0);
		if (size > capacity()) return Error::OUT_OF_MEMORY;
		size_t const wanted = _granules(size);
		for (Gap **link = &_gaps; *link; link = &(*link)->next) {
			Gap *const gap = *link;
			std::byte *const start = _address(gap);
			size_t const gap_size = gap->size;
			size_t const before = _misalignment(start, align);
			if (before > gap_size || wanted > gap_size - before) continue;
			size_t const after = gap_size - before - wanted;
			Gap *rest = gap->next;
			if (after) rest = _make_gap(start + before + wanted, after, rest);
			*link = before ? _make_gap(start, before, rest) : rest;
			_used += wanted;
			return std::span<std::byte>(start + before, size);
		}
		return Error::OUT_OF_MEMORY;
	}

	void free(void *memory, size_t size) override
	{
		size_t const freed = _granules(size);
		std::byte *const at = static_cast<std::byte *>(memory);
		BULKHEAD_ASSERT(at >= _begin && at < _end && freed <= static_cast<size_t>(_end - at));
		Gap *before = nullptr;
		Gap *after = _gaps;
		while (after && _address(after) < at) {
			before = after;
			after = after->next;
		}
		// Memory that is partly free already was freed twice, or with another size.
		BULKHEAD_ASSERT(!before || _address(before) + before->size <= at);
		BULKHEAD_ASSERT(!after || at + freed <= _address(after));
		_used -= freed;
		Gap *gap = _make_gap(at, freed, after);
		if (after && at + gap->size == _address(after)) {
			gap->size += after->size;
			gap->next = after->next;
		}
		if (!before) {
			_gaps = gap;
		} else if (_address(before) + before->size == at) {
			before->size += gap->size;
			before->next = gap->next;
		} else {
			before->next = gap;
		}
	}
};

/* An arena with memory of its own. */
template <size_t BYTES>
class Arena_with_memory final : public Arena_allocator
{
private:
	alignas(16) std::byte _memory[BYTES];

public:
	Arena_with_memory() : Arena_allocator(std::span<std::byte>(_memory, BYTES)) {}
};

} // namespace bulkhead
