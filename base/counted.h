#pragma once

// Shared ownership without a heap: the object counts its references and decides itself what happens
// when the last one is gone. The count is of one thread.

#include "base/assert.h"

#include <concepts>
#include <cstddef>
#include <limits>
#include <utility>

namespace bulkhead {

template <typename T>
class Ref;

/* The base of what is shared through `Ref`. Neither copied nor moved. */
class Counted
{
private:
	template <typename>
	friend class Ref;

	unsigned _references = 0;

	void _refer()
	{
		BULKHEAD_ASSERT(_references != std::numeric_limits<unsigned>::max());
		++_references;
	}

	void _unrefer()
	{
		BULKHEAD_ASSERT(_references > 0);
		if (--_references == 0) unreferenced();
	}

protected:
	/*
	 * Called when the last reference is gone. The object may free itself here, go back to a pool,
	 * or stay, to be referred to again.
	 */
	virtual void unreferenced() = 0;

	/* An object that is still referred to must not vanish. */
	~Counted() { BULKHEAD_ASSERT(_references == 0); }

public:
	Counted() = default;
	Counted(Counted const &) = delete;
	Counted &operator=(Counted const &) = delete;

	unsigned references() const { return _references; }
};

/* A reference to a `T`, which derives from Counted, or to nothing. */
template <typename T>
class Ref
{
private:
	template <typename>
	friend class Ref;

	T *_object = nullptr;

	static void _refer(Counted *object)
	{
		if (object) object->_refer();
	}
	static void _unrefer(Counted *object)
	{
		if (object) object->_unrefer();
	}

public:
	Ref() = default;
	explicit Ref(T &object) : _object(&object) { _refer(_object); }

	Ref(Ref const &other) : _object(other._object) { _refer(_object); }
	Ref(Ref &&other) noexcept : _object(std::exchange(other._object, nullptr)) {}

	template <typename U>
		requires std::convertible_to<U *, T *>
	Ref(Ref<U> other) noexcept : _object(std::exchange(other._object, nullptr))
	{}

	// By value: the former object is let go last, when this is in order again.
	Ref &operator=(Ref other) noexcept
	{
		std::swap(_object, other._object);
		return *this;
	}

	~Ref() { _unrefer(_object); }

	/* Refers to nothing from now on. */
	void reset() { *this = Ref(); }

	explicit operator bool() const { return _object != nullptr; }

	T &operator*() const
	{
		BULKHEAD_ASSERT(_object);
		return *_object;
	}
	T *operator->() const { return &**this; }

	/* The object, null if there is none. */
	T *pointer() const { return _object; }

	template <typename U>
	bool operator==(Ref<U> const &other) const
	{
		return _object == other._object;
	}
};

} // namespace bulkhead
