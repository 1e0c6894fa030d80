#pragma once

// Memory for what is made once and given back as a whole: a policy, a description of the system.
// Nothing in it has a destructor; a growing list beside it keeps what isn't counted yet.

#include "base/allocator.h"
#include "base/bytes.h"

#include <string_view>

namespace bulkhead::policy {

/* A list that grows, of what is copied by its bytes. */
template <typename T>
	requires std::is_trivially_copyable_v<T>
class Growing_list
{
private:
	Allocator &_allocator;
	std::span<T> _memory{};
	size_t _size = 0;

public:
	explicit Growing_list(Allocator &allocator) : _allocator(allocator) {}
	Growing_list(Growing_list const &) = delete;
	Growing_list &operator=(Growing_list const &) = delete;
	~Growing_list()
	{
		if (!_memory.empty()) destroy_array(_allocator, _memory);
	}

	/* Error: OUT_OF_MEMORY, the list is as before. */
	Attempt<void> push_back(T const &element)
	{
		if (_size == _memory.size()) {
			std::span<T> const old = _memory;
			_memory = TRY(create_array<T>(_allocator, old.empty() ? 16 : 2 * old.size()));
			std::ranges::copy(old, _memory.begin());
			if (!old.empty()) destroy_array(_allocator, old);
		}
		_memory[_size++] = element;
		return Ok{};
	}

	uint32_t size() const { return static_cast<uint32_t>(_size); }
	bool empty() const { return _size == 0; }
	void truncate(size_t size) { _size = std::min(size, _size); }
	T &operator[](size_t index) { return view()[index]; }
	T const &operator[](size_t index) const { return view()[index]; }
	T &back() { return view().back(); }
	std::span<T> view() { return _memory.first(_size); }
	std::span<T const> view() const { return _memory.first(_size); }
	auto begin() { return view().begin(); }
	auto end() { return view().end(); }
};

/* Takes pieces from an allocator, which outlives it, and returns them all at the end. */
class Arena
{
private:
	Allocator &_allocator;
	Growing_list<std::span<std::byte>> _pieces;

public:
	explicit Arena(Allocator &allocator) : _allocator(allocator), _pieces(allocator) {}
	~Arena()
	{
		for (std::span<std::byte> const piece : _pieces)
			if (!piece.empty()) _allocator.free(piece.data(), piece.size());
	}

	Allocator &allocator() const { return _allocator; }

	/* `count` objects with their default value, which live as long. Error: OUT_OF_MEMORY. */
	template <typename T>
		requires std::is_trivially_destructible_v<T>
	Attempt<std::span<T>> array(size_t count)
	{
		if (count == 0) return std::span<T>();
		TRY(_pieces.push_back({}));
		std::span<T> const made = TRY(create_array<T>(_allocator, count));
		_pieces.back() = std::as_writable_bytes(made);
		return made;
	}

	template <typename T>
	Attempt<std::span<T>> copy(std::span<T const> from)
	{
		std::span<T> const to = TRY(array<T>(from.size()));
		std::ranges::copy(from, to.begin());
		return to;
	}

	/* A text that lives as long as the arena. Error: OUT_OF_MEMORY. */
	Attempt<std::string_view> text(std::string_view from)
	{
		std::span<char> const to = TRY(copy(std::span<char const>(from)));
		return std::string_view(to.data(), to.size());
	}
};

} // namespace bulkhead::policy
