#pragma once

// A doubly linked list whose links live in the elements: adding never allocates and an element can
// leave without knowing its list. An element that is in several lists has a link per `TAG`.

#include "base/assert.h"

#include <cstddef>

namespace bulkhead {

template <typename T, typename TAG>
class List;

template <typename T, typename TAG = void>
class Link
{
private:
	friend class List<T, TAG>;

	Link *_previous = this;
	Link *_next = this;

	void _insert_before(Link &position)
	{
		_previous = position._previous;
		_next = &position;
		_previous->_next = this;
		position._previous = this;
	}

public:
	Link() = default;
	Link(Link const &) = delete;
	Link &operator=(Link const &) = delete;
	~Link() { unlink(); }

	/* Whether the element is in a list. */
	bool linked() const { return _next != this; }

	/* Takes the element out of its list; without effect if it is in none. */
	void unlink()
	{
		_previous->_next = _next;
		_next->_previous = _previous;
		_previous = _next = this;
	}
};

/* `T` derives from `Link<T, TAG>`. The list does not own its elements. */
template <typename T, typename TAG = void>
class List
{
private:
	using Element = Link<T, TAG>;

	Element _head{};

	static T &_object(Element &link) { return static_cast<T &>(link); }

public:
	List() = default;
	List(List const &) = delete;
	List &operator=(List const &) = delete;

	/* Elements that are left stay alone: each is in no list afterwards. */
	~List()
	{
		while (!empty()) _head._next->unlink();
	}

	bool empty() const { return !_head.linked(); }

	/* First and last element, null if the list is empty. */
	T *front() { return empty() ? nullptr : &_object(*_head._next); }
	T *back() { return empty() ? nullptr : &_object(*_head._previous); }

	/* Neighbours of an element of this list, null at the end. */
	T *next(T &element)
	{
		Element &link = *static_cast<Element &>(element)._next;
		return &link == &_head ? nullptr : &_object(link);
	}
	T *previous(T &element)
	{
		Element &link = *static_cast<Element &>(element)._previous;
		return &link == &_head ? nullptr : &_object(link);
	}

	void push_back(T &element)
	{
		Element &link = element;
		BULKHEAD_ASSERT(!link.linked());
		link._insert_before(_head);
	}

	void push_front(T &element)
	{
		Element &link = element;
		BULKHEAD_ASSERT(!link.linked());
		link._insert_before(*_head._next);
	}

	/* Puts the element behind `position`, or first if there is none. */
	void insert_after(T *position, T &element)
	{
		Element &link = element;
		BULKHEAD_ASSERT(!link.linked());
		Element &after = position ? static_cast<Element &>(*position) : _head;
		link._insert_before(*after._next);
	}

	T *pop_front()
	{
		T *element = front();
		if (element) static_cast<Element &>(*element).unlink();
		return element;
	}

	/* Calls `fn(T &)` for each element; `fn` may take the element it is given out of the list. */
	template <typename FN>
	void for_each(FN &&fn)
	{
		for (Element *link = _head._next; link != &_head;) {
			Element *const next = link->_next;
			fn(_object(*link));
			link = next;
		}
	}
};

} // namespace bulkhead
