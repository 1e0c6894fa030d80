#pragma once

// The result of an operation that yields either a value or an error. It replaces exceptions: a
// value can't be reached without deciding what happens to the error, and dropping a result is a
// warning.
//
//	Attempt<uint8_t> byte = reader.read();
//	if (!byte.ok()) return byte.error();
//	use(byte.value());
//
// or, in a function that returns an Attempt itself: `use(TRY(reader.read()))`.

#include "base/assert.h"
#include "base/error.h"

#include <concepts>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace bulkhead {

/* The value of an operation that has none: `return Ok {};` */
struct Ok
{};

/* An error on its way to a caller whose error enum may be another one. */
template <typename E>
struct Failure
{
	E error;
};

template <typename E>
Failure(E) -> Failure<E>;

template <typename FROM, typename TO>
concept Converts_to = requires(FROM from) {
	{ convert_error(from, Into<TO>{}) } -> std::same_as<TO>;
};

template <typename T, typename E = Error>
class [[nodiscard]] Attempt
{
private:
	static_assert(!std::is_same_v<T, E>, "value and error must be told apart by type");
	static_assert(std::is_trivially_copyable_v<E>, "an error is an enumerator or a few of them");

	static constexpr bool _copied_bitwise =
		std::is_trivially_copyable_v<T> && std::is_copy_assignable_v<T>;
	static constexpr bool _moved_bitwise =
		std::is_trivially_copyable_v<T> && std::is_move_assignable_v<T>;

	union
	{
		T _value;
		E _error;
	};
	bool _ok;

	template <typename A>
	constexpr void _construct(A &&other)
	{
		if (other._ok)
			std::construct_at(std::addressof(_value), std::forward<A>(other)._value);
		else
			std::construct_at(std::addressof(_error), other._error);
	}

	constexpr void _destroy()
	{
		if (_ok) std::destroy_at(std::addressof(_value));
	}

public:
	using Value = T;

	template <typename U = T>
		requires(std::is_constructible_v<T, U &&> &&
					!std::is_same_v<std::remove_cvref_t<U>, Attempt> &&
					!std::is_same_v<std::remove_cvref_t<U>, E>)
	constexpr Attempt(U &&value) : _value(std::forward<U>(value)), _ok(true)
	{}

	constexpr Attempt(E error) : _error(error), _ok(false) {}

	template <Converts_to<E> F>
	constexpr Attempt(Failure<F> failure)
		: _error(convert_error(failure.error, Into<E>{})), _ok(false)
	{}

	constexpr Attempt(Attempt const &)
		requires std::is_trivially_copy_constructible_v<T>
	= default;
	constexpr Attempt(Attempt const &other)
		requires(!std::is_trivially_copy_constructible_v<T> && std::is_copy_constructible_v<T>)
		: _ok(other._ok)
	{
		_construct(other);
	}

	constexpr Attempt(Attempt &&)
		requires std::is_trivially_move_constructible_v<T>
	= default;
	constexpr Attempt(Attempt &&other)
		requires(!std::is_trivially_move_constructible_v<T>)
		: _ok(other._ok)
	{
		_construct(std::move(other));
	}

	constexpr Attempt &operator=(Attempt const &)
		requires _copied_bitwise
	= default;
	constexpr Attempt &operator=(Attempt const &other)
		requires(!_copied_bitwise && std::is_copy_constructible_v<T>)
	{
		if (this != &other) {
			_destroy();
			_ok = other._ok;
			_construct(other);
		}
		return *this;
	}

	constexpr Attempt &operator=(Attempt &&)
		requires _moved_bitwise
	= default;
	constexpr Attempt &operator=(Attempt &&other)
		requires(!_moved_bitwise)
	{
		if (this != &other) {
			_destroy();
			_ok = other._ok;
			_construct(std::move(other));
		}
		return *this;
	}

	constexpr ~Attempt()
		requires std::is_trivially_destructible_v<T>
	= default;
	constexpr ~Attempt()
		requires(!std::is_trivially_destructible_v<T>)
	{
		_destroy();
	}

	constexpr bool ok() const { return _ok; }

	/* The value; it is a mistake of the caller's to ask a failed attempt for it. */
	constexpr T &value() &
	{
		BULKHEAD_ASSERT(_ok);
		return _value;
	}
	constexpr T const &value() const &
	{
		BULKHEAD_ASSERT(_ok);
		return _value;
	}
	constexpr T &&value() &&
	{
		BULKHEAD_ASSERT(_ok);
		return std::move(_value);
	}

	/* The error; it is a mistake of the caller's to ask a successful attempt for it. */
	constexpr E error() const
	{
		BULKHEAD_ASSERT(!_ok);
		return _error;
	}

	constexpr T value_or(T other) && { return _ok ? std::move(_value) : std::move(other); }

	/* Handles both outcomes; the two functions return the same type. */
	template <typename ON_VALUE, typename ON_ERROR>
	constexpr auto with(ON_VALUE &&on_value, ON_ERROR &&on_error) &&
	{
		return _ok ? on_value(std::move(_value)) : on_error(_error);
	}
};

/* An operation without a value. */
template <typename E>
class [[nodiscard]] Attempt<void, E>
{
private:
	E _error{};
	bool _ok = true;

public:
	using Value = void;

	constexpr Attempt(Ok) {}
	constexpr Attempt(E error) : _error(error), _ok(false) {}

	template <Converts_to<E> F>
	constexpr Attempt(Failure<F> failure)
		: _error(convert_error(failure.error, Into<E>{})), _ok(false)
	{}

	constexpr bool ok() const { return _ok; }
	constexpr void value() const { BULKHEAD_ASSERT(_ok); }

	constexpr E error() const
	{
		BULKHEAD_ASSERT(!_ok);
		return _error;
	}
};

/* An operation that yields a reference to an object that somebody else owns. */
template <typename T, typename E>
class [[nodiscard]] Attempt<T &, E>
{
private:
	T *_value = nullptr;
	E _error{};

public:
	using Value = T &;

	constexpr Attempt(T &value) : _value(&value) {}
	constexpr Attempt(T const &&) = delete; // the object would be gone before its reference
	constexpr Attempt(E error) : _error(error) {}

	template <Converts_to<E> F>
	constexpr Attempt(Failure<F> failure) : _error(convert_error(failure.error, Into<E>{}))
	{}

	constexpr bool ok() const { return _value != nullptr; }

	constexpr T &value() const
	{
		BULKHEAD_ASSERT(ok());
		return *_value;
	}

	constexpr E error() const
	{
		BULKHEAD_ASSERT(!ok());
		return _error;
	}
};

/* Carries the value of an attempt out of a statement expression, which would copy a reference. */
template <typename T>
struct Carried
{
	T value;
};

template <typename T, typename E>
constexpr auto carry(Attempt<T, E> &&attempt)
{
	if constexpr (std::is_void_v<T>)
		return Ok{};
	else
		return Carried<T>{std::move(attempt).value()};
}

template <typename T>
constexpr T uncarry(Carried<T> carried)
{
	return std::forward<T>(carried.value);
}
constexpr void uncarry(Ok) {}

} // namespace bulkhead

#define BULKHEAD_CAT_(a, b) a##b
#define BULKHEAD_CAT(a, b) BULKHEAD_CAT_(a, b)

#define BULKHEAD_TRY_(name, ...) \
	(::bulkhead::uncarry(({ \
		auto name = (__VA_ARGS__); \
		if (!name.ok()) [[unlikely]] \
			return ::bulkhead::Failure{name.error()}; \
		::bulkhead::carry(std::move(name)); \
	})))

/*
 * In a plain function: the value of an attempt, or return its error. Not for operands that await.
 *
 * Not in the braces that initialise an aggregate or array of objects with destructors either: g++
 * 12 forgets those that are made already. Arguments of functions and constructors are fine.
 */
#define TRY(...) BULKHEAD_TRY_(BULKHEAD_CAT(bulkhead_try_, __COUNTER__), __VA_ARGS__)

#define BULKHEAD_CO_TRY_ASSIGN_(name, declaration, ...) \
	auto name = (__VA_ARGS__); \
	if (!name.ok()) [[unlikely]] \
		co_return ::bulkhead::Failure{name.error()}; \
	declaration = std::move(name).value()

/* In a coroutine, as a statement: `CO_TRY_ASSIGN(uint8_t const status, co_await read(job));` */
#define CO_TRY_ASSIGN(declaration, ...) \
	BULKHEAD_CO_TRY_ASSIGN_(BULKHEAD_CAT(bulkhead_try_, __COUNTER__), declaration, __VA_ARGS__)

/* In a coroutine, as one statement, for an attempt whose value isn't wanted. */
#define CO_TRY(...) \
	do { \
		auto bulkhead_try = (__VA_ARGS__); \
		if (!bulkhead_try.ok()) [[unlikely]] \
			co_return ::bulkhead::Failure{bulkhead_try.error()}; \
	} while (false)
