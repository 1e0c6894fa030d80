#pragma once

// Memory for what is made once and given back as a whole: a policy, a description of the system.
// Nothing in it has a destructor.

#include "base/allocator.h"
#include "base/bytes.h"

#include <string_view>

namespace bulkhead::policy {

/* Takes pieces from an allocator, which outlives it, and returns them all at the end. */
class Arena final : public Allocator
{
private:
	struct alignas(std::max_align_t) Piece
	{
		Piece *before;
		size_t size; // with this
	};

	Allocator &_allocator;
	Piece *_last = nullptr;

public:
	explicit Arena(Allocator &allocator) : _allocator(allocator) {}
	Arena(Arena const &) = delete;
	Arena &operator=(Arena const &) = delete;
	~Arena()
	{
		while (_last) {
			Piece *const piece = std::exchange(_last, _last->before);
			_allocator.free(piece, piece->size);
		}
	}

	Attempt<std::span<std::byte>> allocate(size_t size, size_t align) override
	{
		BULKHEAD_ASSERT(align <= alignof(Piece));
		auto const memory = TRY(_allocator.allocate(sizeof(Piece) + size, alignof(Piece)));
		_last = ::new (static_cast<void *>(memory.data())) Piece{_last, memory.size()};
		return memory.subspan(sizeof(Piece));
	}

	void free(void *, size_t) override {}
};

/* Copies what lives as long as the arena. Error: OUT_OF_MEMORY. */
template <typename T>
Attempt<std::span<T>> copy(Arena &arena, std::span<T const> from)
{
	std::span<T> const to = TRY(create_array<T>(arena, from.size()));
	std::ranges::copy(from, to.begin());
	return to;
}
inline Attempt<std::string_view> copy(Arena &arena, std::string_view from)
{
	std::span<char> const to = TRY(copy(arena, std::span<char const>(from)));
	return std::string_view(to.data(), to.size());
}

/* A list that grows, in an arena, of what is copied by its bytes. */
template <typename T>
	requires std::is_trivially_copyable_v<T>
class Growing_list
{
private:
	Arena &_arena;
	std::span<T> _memory{};
	size_t _size = 0;

public:
	explicit Growing_list(Arena &arena) : _arena(arena) {}

	/* Error: OUT_OF_MEMORY, the list is as before. */
	Attempt<void> push_back(T const &element)
	{
		if (_size == _memory.size()) {
			auto const larger = TRY(create_array<T>(_arena, _size == 0 ? 16 : 2 * _size));
			std::ranges::copy(_memory, larger.begin());
			_memory = larger;
		}
		_memory[_size++] = element;
		return Ok{};
	}

	uint32_t size() const { return static_cast<uint32_t>(_size); }
	bool empty() const { return _size == 0; }
	void truncate(size_t size) { _size = std::min(size, _size); }
	std::span<T> view() const { return _memory.first(_size); }
	T &operator[](size_t index) const { return view()[index]; }
	auto begin() const { return view().begin(); }
	auto end() const { return view().end(); }
};

} // namespace bulkhead::policy
