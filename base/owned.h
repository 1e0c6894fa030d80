#pragma once

// Sole ownership of an object that an Allocator has made. An `Owned<Interface>` remembers how its
// object was made, so that no interface needs a virtual destructor.

#include "base/allocator.h"

#include <concepts>
#include <utility>

namespace bulkhead {

/* Owns a `T` or nothing; destroys it at the end. */
template <typename T>
class Owned
{
private:
	template <typename>
	friend class Owned;
	template <typename U, typename... ARGS>
	friend Attempt<Owned<U>> create_owned(Allocator &, ARGS &&...);

	using Destroy = void (*)(Allocator &, void *made);

	T *_object = nullptr;
	void *_made = nullptr;
	Allocator *_allocator = nullptr;
	Destroy _destroy = nullptr;

	Owned(T &object, Allocator &allocator, Destroy destroy)
		: _object(&object), _made(&object), _allocator(&allocator), _destroy(destroy)
	{}

public:
	Owned() = default;

	Owned(Owned &&other) noexcept
		: _object(std::exchange(other._object, nullptr)),
		  _made(other._made),
		  _allocator(other._allocator),
		  _destroy(other._destroy)
	{}

	template <typename U>
		requires std::convertible_to<U *, T *>
	Owned(Owned<U> &&other) noexcept
		: _object(std::exchange(other._object, nullptr)),
		  _made(other._made),
		  _allocator(other._allocator),
		  _destroy(other._destroy)
	{}

	Owned &operator=(Owned &&other) noexcept
	{
		Owned moved(std::move(other));
		std::swap(_object, moved._object);
		std::swap(_made, moved._made);
		std::swap(_allocator, moved._allocator);
		std::swap(_destroy, moved._destroy);
		return *this;
	}

	~Owned()
	{
		if (_object) _destroy(*_allocator, _made);
	}

	/* Destroys the object now. */
	void reset() { *this = Owned(); }

	explicit operator bool() const { return _object != nullptr; }

	T &operator*() const
	{
		BULKHEAD_ASSERT(_object);
		return *_object;
	}
	T *operator->() const { return &**this; }

	/* The object, null if there is none. */
	T *pointer() const { return _object; }
};

/* Makes an object and owns it. Error: OUT_OF_MEMORY. The allocator outlives the object. */
template <typename T, typename... ARGS>
Attempt<Owned<T>> create_owned(Allocator &allocator, ARGS &&...args)
{
	auto object = create<T>(allocator, std::forward<ARGS>(args)...);
	if (!object.ok()) return object.error();
	// The type is exactly the one that was made, whatever it may be converted to later.
	auto const destroy = [](Allocator &by, void *made) {
		std::destroy_at(static_cast<T *>(made));
		by.free(made, sizeof(T));
	};
	return Owned<T>(object.value(), allocator, destroy);
}

} // namespace bulkhead
