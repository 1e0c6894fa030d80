#pragma once

// A sequence of bounded length that lies in place. A full one says so instead of growing.

#include "base/attempt.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace bulkhead {

/* At most `CAPACITY` elements. References stay valid until an element before them is erased. */
template <typename T, size_t CAPACITY>
class Fixed_vector
{
private:
	static_assert(CAPACITY > 0);

	size_t _size = 0;
	alignas(T) std::byte _memory[CAPACITY * sizeof(T)];

	T *_first() { return reinterpret_cast<T *>(_memory); }
	T const *_first() const { return reinterpret_cast<T const *>(_memory); }

public:
	Fixed_vector() = default;

	Fixed_vector(Fixed_vector const &other)
		requires std::is_copy_constructible_v<T>
		: _size(other._size)
	{
		std::uninitialized_copy_n(other._first(), _size, _first());
	}

	/* The elements of the other one are moved, and gone from there. */
	Fixed_vector(Fixed_vector &&other) : _size(other._size)
	{
		std::uninitialized_move_n(other._first(), _size, _first());
		other.clear();
	}

	Fixed_vector &operator=(Fixed_vector const &other)
		requires std::is_copy_constructible_v<T>
	{
		if (this == &other) return *this;
		clear();
		std::uninitialized_copy_n(other._first(), other._size, _first());
		_size = other._size;
		return *this;
	}

	Fixed_vector &operator=(Fixed_vector &&other)
	{
		if (this == &other) return *this;
		clear();
		std::uninitialized_move_n(other._first(), other._size, _first());
		_size = other._size;
		other.clear();
		return *this;
	}

	~Fixed_vector() { clear(); }

	size_t size() const { return _size; }
	bool empty() const { return _size == 0; }
	bool full() const { return _size == CAPACITY; }
	static constexpr size_t capacity() { return CAPACITY; }

	/* Makes an element at the end. Error: NO_SPACE. */
	template <typename... ARGS>
	Attempt<T &> emplace_back(ARGS &&...args)
	{
		if (full()) return Error::NO_SPACE;
		T *const element =
			::new (static_cast<void *>(_memory + _size * sizeof(T))) T(std::forward<ARGS>(args)...);
		++_size;
		return *element;
	}

	Attempt<T &> push_back(T element) { return emplace_back(std::move(element)); }

	/* Puts the element before the one at `index`, which may be `size()`. Error: NO_SPACE. */
	Attempt<T &> insert(size_t index, T element)
	{
		BULKHEAD_ASSERT(index <= _size);
		if (full()) return Error::NO_SPACE;
		static_cast<void>(emplace_back(std::move(element)));
		std::rotate(_first() + index, _first() + _size - 1, _first() + _size);
		return _first()[index];
	}

	/* Erases the element at `index`; those behind it move up. */
	void erase(size_t index)
	{
		BULKHEAD_ASSERT(index < _size);
		std::move(_first() + index + 1, _first() + _size, _first() + index);
		pop_back();
	}

	/* Erases the elements for which `predicate(T const &)` holds; returns how many. */
	template <typename PREDICATE>
	size_t erase_if(PREDICATE &&predicate)
	{
		T *const kept = std::remove_if(begin(), end(), predicate);
		size_t const erased = static_cast<size_t>(end() - kept);
		std::destroy(kept, end());
		_size -= erased;
		return erased;
	}

	void pop_back()
	{
		BULKHEAD_ASSERT(_size > 0);
		--_size;
		std::destroy_at(_first() + _size);
	}

	void clear()
	{
		while (_size) pop_back();
	}

	T &operator[](size_t index)
	{
		BULKHEAD_ASSERT(index < _size);
		return _first()[index];
	}
	T const &operator[](size_t index) const
	{
		BULKHEAD_ASSERT(index < _size);
		return _first()[index];
	}

	T &front() { return (*this)[0]; }
	T const &front() const { return (*this)[0]; }
	T &back() { return (*this)[_size - 1]; }
	T const &back() const { return (*this)[_size - 1]; }

	T *begin() { return _first(); }
	T *end() { return _first() + _size; }
	T const *begin() const { return _first(); }
	T const *end() const { return _first() + _size; }

	operator std::span<T>() { return {_first(), _size}; }
	operator std::span<T const>() const { return {_first(), _size}; }
};

} // namespace bulkhead
