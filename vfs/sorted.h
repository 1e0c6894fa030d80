#pragma once

// Objects in the order of a key, with links that live in the objects: adding never allocates.
// Finding, adding and removing take logarithmic time whatever the keys are, so that nobody makes a
// directory slow by his choice of names.

#include "base/assert.h"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace bulkhead::vfs {

template <typename T, typename ORDER>
class Sorted;

/* The base of an object in a Sorted; one for each order that it is in. */
template <typename T, typename ORDER>
class Sorted_link
{
private:
	friend class Sorted<T, ORDER>;

	Sorted_link *_parent = nullptr;
	Sorted_link *_child[2]{};
	uint32_t _priority = 0; // not below that of the children
};

/* `ORDER::key(T const &)` yields the key, which has a `<`; no two objects have the same one. */
template <typename T, typename ORDER>
class Sorted
{
private:
	// A treap: a search tree by key that is a heap by random priority, and so balanced.
	using Element = Sorted_link<T, ORDER>;

	Element *_root = nullptr;
	size_t _size = 0;
	uint32_t _random = 0x9e3779b9;

	static auto _key(Element const &e) { return ORDER::key(static_cast<T const &>(e)); }

	uint32_t _next_priority()
	{
		_random ^= _random << 13;
		_random ^= _random >> 17;
		_random ^= _random << 5;
		return _random;
	}

	Element *&_link_to(Element &e)
	{
		if (!e._parent) return _root;
		return e._parent->_child[e._parent->_child[1] == &e];
	}

	/* Puts an element in the place of its parent, whose parent it becomes. */
	void _lift(Element &e)
	{
		Element &parent = *e._parent;
		bool const side = parent._child[1] == &e;
		_link_to(parent) = &e;
		e._parent = parent._parent;
		Element *&inner = e._child[!side];
		parent._child[side] = inner;
		if (inner) inner->_parent = &parent;
		inner = &parent;
		parent._parent = &e;
	}

	static T *_object(Element *e) { return static_cast<T *>(e); }

public:
	Sorted() = default;
	Sorted(Sorted const &) = delete;
	Sorted &operator=(Sorted const &) = delete;

	size_t size() const { return _size; }
	bool empty() const { return _size == 0; }

	/* Adds an object; its key isn't there yet. */
	void insert(T &object)
	{
		Element &e = object;
		e = Element{};
		e._priority = _next_priority();
		Element **link = &_root;
		while (Element *const at = *link) {
			bool const right = _key(*at) < _key(e);
			BULKHEAD_ASSERT(right || _key(e) < _key(*at));
			e._parent = at;
			link = &at->_child[right];
		}
		*link = &e;
		while (e._parent && e._parent->_priority < e._priority) _lift(e);
		++_size;
	}

	/* Takes out an object that is here. */
	void remove(T &object)
	{
		Element &e = object;
		while (e._child[0] && e._child[1])
			_lift(*e._child[e._child[1]->_priority > e._child[0]->_priority]);
		Element *const child = e._child[0] ? e._child[0] : e._child[1];
		_link_to(e) = child;
		if (child) child->_parent = e._parent;
		e = Element{};
		--_size;
	}

	/* The first object whose key isn't below the given one, null if there is none. */
	template <typename KEY>
	T *first_from(KEY const &key) const
	{
		Element *found = nullptr;
		for (Element *at = _root; at;) {
			bool const right = _key(*at) < key;
			if (!right) found = at;
			at = at->_child[right];
		}
		return _object(found);
	}

	/* The object with a key, null if there is none. */
	template <typename KEY>
	T *find(KEY const &key) const
	{
		T *const found = first_from(key);
		return found && !(key < ORDER::key(*found)) ? found : nullptr;
	}

	T *first() const
	{
		Element *at = _root;
		while (at && at->_child[0]) at = at->_child[0];
		return _object(at);
	}

	/* The object behind another one, null if that is the last. */
	T *next(T &object) const
	{
		Element *at = &static_cast<Element &>(object);
		if (at->_child[1]) {
			at = at->_child[1];
			while (at->_child[0]) at = at->_child[0];
			return _object(at);
		}
		while (at->_parent && at->_parent->_child[1] == at) at = at->_parent;
		return _object(at->_parent);
	}
};

} // namespace bulkhead::vfs
