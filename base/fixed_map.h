#pragma once

// A small map of bounded size that lies in place, in the order of its keys. Finding takes a binary
// search; inserting and erasing move what is behind.

#include "base/fixed_vector.h"

#include <algorithm>
#include <utility>

namespace bulkhead {

/*
 * At most `CAPACITY` entries. Keys are compared with `<`; a look-up takes whatever compares with a
 * key, e.g. a `string_view` where keys are `Fixed_string`. References are valid until the next
 * insertion or erasure.
 */
template <typename K, typename V, size_t CAPACITY>
class Fixed_map
{
public:
	class Entry
	{
	private:
		friend class Fixed_map;

		K _key;

	public:
		V value;

		Entry(K k, V v) : _key(std::move(k)), value(std::move(v)) {}

		K const &key() const { return _key; }
	};

private:
	Fixed_vector<Entry, CAPACITY> _entries{};

	template <typename Q>
	size_t _position(Q const &key) const
	{
		auto const less = [](Entry const &entry, Q const &q) { return entry.key() < q; };
		Entry const *const at = std::lower_bound(_entries.begin(), _entries.end(), key, less);
		return static_cast<size_t>(at - _entries.begin());
	}

	template <typename Q>
	bool _holds(size_t position, Q const &key) const
	{
		return position < _entries.size() && !(key < _entries[position].key());
	}

public:
	size_t size() const { return _entries.size(); }
	bool empty() const { return _entries.empty(); }
	bool full() const { return _entries.full(); }
	static constexpr size_t capacity() { return CAPACITY; }

	/* The value of a key, null if there is none. */
	template <typename Q>
	V *find(Q const &key)
	{
		size_t const position = _position(key);
		return _holds(position, key) ? &_entries[position].value : nullptr;
	}
	template <typename Q>
	V const *find(Q const &key) const
	{
		size_t const position = _position(key);
		return _holds(position, key) ? &_entries[position].value : nullptr;
	}

	/* Errors: EXISTS, NO_SPACE. */
	Attempt<V &> insert(K key, V value)
	{
		size_t const position = _position(key);
		if (_holds(position, key)) return Error::EXISTS;
		auto entry = _entries.insert(position, Entry(std::move(key), std::move(value)));
		if (!entry.ok()) return entry.error();
		return entry.value().value;
	}

	/* Whether there was something to erase. */
	template <typename Q>
	bool erase(Q const &key)
	{
		size_t const position = _position(key);
		if (!_holds(position, key)) return false;
		_entries.erase(position);
		return true;
	}

	void clear() { _entries.clear(); }

	Entry *begin() { return _entries.begin(); }
	Entry *end() { return _entries.end(); }
	Entry const *begin() const { return _entries.begin(); }
	Entry const *end() const { return _entries.end(); }
};

} // namespace bulkhead
