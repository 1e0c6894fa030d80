#pragma once

// Memory for what is made once and given back as a whole: a policy, a description of the system.
// Nothing in it has a destructor; a growing list beside it keeps what isn't counted yet.

#include "base/allocator.h"
#include "base/bytes.h"

#include <string_view>
#include <type_traits>

namespace bulkhead::policy {

/* Takes blocks from an allocator, which outlives it, and returns them all at the end. */
class Arena
{
private:
	static constexpr size_t BLOCK_BYTES = 16 * 1024;

	struct Block
	{
		Block *next;
		size_t size;
	};

	Allocator &_allocator;
	Block *_blocks = nullptr;
	std::byte *_at = nullptr;
	size_t _left = 0;

	Attempt<void> _grow(size_t size)
	{
		size_t const wanted = std::max(size, BLOCK_BYTES);
		std::span<std::byte> const memory =
			TRY(_allocator.allocate(sizeof(Block) + wanted, alignof(std::max_align_t)));
		_blocks = ::new (static_cast<void *>(memory.data())) Block{_blocks, memory.size()};
		_at = memory.data() + sizeof(Block);
		_left = wanted;
		return Ok{};
	}

public:
	explicit Arena(Allocator &allocator) : _allocator(allocator) {}
	Arena(Arena const &) = delete;
	Arena &operator=(Arena const &) = delete;

	~Arena()
	{
		while (_blocks) {
			Block *const block = _blocks;
			_blocks = block->next;
			_allocator.free(block, block->size);
		}
	}

	Allocator &allocator() const { return _allocator; }

	/* Memory that lives as long as the arena. Error: OUT_OF_MEMORY. */
	Attempt<std::span<std::byte>> allocate(size_t size, size_t align)
	{
		if (size > std::numeric_limits<size_t>::max() / 2) return Error::OUT_OF_MEMORY;
		size_t before = (0 - reinterpret_cast<uintptr_t>(_at)) & (align - 1);
		if (before + size > _left) {
			TRY(_grow(size + align));
			before = (0 - reinterpret_cast<uintptr_t>(_at)) & (align - 1);
		}
		std::span<std::byte> const memory(_at + before, size);
		_at += before + size;
		_left -= before + size;
		return memory;
	}

	/* `count` objects with their default value. Error: OUT_OF_MEMORY. */
	template <typename T>
		requires std::is_trivially_destructible_v<T>
	Attempt<std::span<T>> array(size_t count)
	{
		if (count > std::numeric_limits<size_t>::max() / 2 / sizeof(T)) return Error::OUT_OF_MEMORY;
		if (count == 0) return std::span<T>();
		std::span<std::byte> const memory = TRY(allocate(count * sizeof(T), alignof(T)));
		T *const first = reinterpret_cast<T *>(memory.data());
		std::uninitialized_value_construct_n(first, count);
		return std::span<T>(first, count);
	}

	template <typename T>
	Attempt<std::span<T>> copy(std::span<T const> from)
	{
		std::span<T> const to = TRY(array<T>(from.size()));
		std::copy(from.begin(), from.end(), to.begin());
		return to;
	}

	/* A text that lives as long as the arena. Error: OUT_OF_MEMORY. */
	Attempt<std::string_view> text(std::string_view from)
	{
		std::span<char> const to = TRY(copy(std::span<char const>(from)));
		return std::string_view(to.data(), to.size());
	}
};

/* A list that grows, of what is copied by its bytes. */
template <typename T>
	requires std::is_trivially_copyable_v<T>
class Growing_list
{
private:
	Allocator &_allocator;
	T *_first = nullptr;
	size_t _size = 0;
	size_t _capacity = 0;

public:
	explicit Growing_list(Allocator &allocator) : _allocator(allocator) {}
	Growing_list(Growing_list const &) = delete;
	Growing_list &operator=(Growing_list const &) = delete;
	~Growing_list()
	{
		if (_first) _allocator.free(_first, _capacity * sizeof(T));
	}

	/* Error: OUT_OF_MEMORY, the list is as before. */
	Attempt<void> push_back(T element)
	{
		if (_size == _capacity) {
			size_t const capacity = _capacity ? 2 * _capacity : 16;
			if (capacity > std::numeric_limits<size_t>::max() / 2 / sizeof(T))
				return Error::OUT_OF_MEMORY;
			std::span<std::byte> const memory =
				TRY(_allocator.allocate(capacity * sizeof(T), alignof(T)));
			T *const first = reinterpret_cast<T *>(memory.data());
			std::uninitialized_copy_n(_first, _size, first);
			if (_first) _allocator.free(_first, _capacity * sizeof(T));
			_first = first;
			_capacity = capacity;
		}
		::new (static_cast<void *>(_first + _size)) T(element);
		++_size;
		return Ok{};
	}

	size_t size() const { return _size; }
	bool empty() const { return _size == 0; }
	void truncate(size_t size) { _size = std::min(size, _size); }
	T &operator[](size_t index)
	{
		BULKHEAD_ASSERT(index < _size);
		return _first[index];
	}
	T &back() { return (*this)[_size - 1]; }
	T *begin() { return _first; }
	T *end() { return _first + _size; }
	operator std::span<T>() { return {_first, _size}; }
	std::span<T const> view() const { return {_first, _size}; }
};

} // namespace bulkhead::policy
