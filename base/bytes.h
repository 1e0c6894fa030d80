#pragma once

// Bytes as they lie in messages and registers: views of them, and codecs that neither read nor
// write beyond a view and don't care about alignment or the byte order of the machine.
//
//	Byte_reader reader{message};
//	uint16_t const tag = reader.u16_be();
//	uint32_t const size = reader.u32_be();
//	Bytes const body = reader.bytes(size - 6);
//	if (!reader.complete()) return Error::INVALID;

#include "base/attempt.h"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace bulkhead {

using Bytes = std::span<uint8_t const>;
using Mutable_bytes = std::span<uint8_t>;

/* The bytes of a text, and bytes read as text. */
inline Bytes bytes_of(std::string_view text)
{
	return {reinterpret_cast<uint8_t const *>(text.data()), text.size()};
}
inline std::string_view text_of(Bytes bytes)
{
	return {reinterpret_cast<char const *>(bytes.data()), bytes.size()};
}

constexpr bool equal(Bytes a, Bytes b) { return std::ranges::equal(a, b); }

/* Copies as many bytes as both views have; returns how many. The views may overlap. */
constexpr size_t copy_bytes(Mutable_bytes to, Bytes from)
{
	size_t const n = std::min(to.size(), from.size());
	if (n == 0) return 0;
	if (std::is_constant_evaluated())
		std::copy_n(from.begin(), n, to.begin());
	else
		__builtin_memmove(to.data(), from.data(), n);
	return n;
}

constexpr void fill_bytes(Mutable_bytes to, uint8_t value)
{
	std::fill(to.begin(), to.end(), value);
}

/*
 * Unsigned integers, least (`le`) or most (`be`) significant byte first. The extent of the view is
 * part of its type, so there is nothing to check: `load_be<uint32_t>(header.first<4>())`.
 */
template <std::unsigned_integral T>
constexpr T load_le(std::span<uint8_t const, sizeof(T)> from)
{
	T value = 0;
	for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(T{from[i]} << (8 * i));
	return value;
}

template <std::unsigned_integral T>
constexpr T load_be(std::span<uint8_t const, sizeof(T)> from)
{
	T value = 0;
	for (size_t i = 0; i < sizeof(T); ++i)
		value |= static_cast<T>(T{from[i]} << (8 * (sizeof(T) - 1 - i)));
	return value;
}

template <std::unsigned_integral T>
constexpr void store_le(std::span<uint8_t, sizeof(T)> to, T value)
{
	for (size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}

template <std::unsigned_integral T>
constexpr void store_be(std::span<uint8_t, sizeof(T)> to, T value)
{
	for (size_t i = 0; i < sizeof(T); ++i)
		to[i] = static_cast<uint8_t>(value >> (8 * (sizeof(T) - 1 - i)));
}

/*
 * Takes a message apart from its front. A read beyond the end yields zeros or an empty view and
 * makes this and every further read fail, so that a parser reads straight on and asks once,
 * before it believes anything: `complete()` if the message must end here, else `ok()`.
 */
class Byte_reader
{
private:
	Bytes _rest;
	bool _ok = true;

	template <std::unsigned_integral T>
	constexpr T _le()
	{
		Bytes const from = bytes(sizeof(T));
		return _ok ? load_le<T>(from.first<sizeof(T)>()) : T{0};
	}

	template <std::unsigned_integral T>
	constexpr T _be()
	{
		Bytes const from = bytes(sizeof(T));
		return _ok ? load_be<T>(from.first<sizeof(T)>()) : T{0};
	}

public:
	/* The bytes stay the caller's; views that are read point into them. */
	constexpr explicit Byte_reader(Bytes bytes) : _rest(bytes) {}

	constexpr uint8_t u8() { return _le<uint8_t>(); }
	constexpr uint16_t u16_le() { return _le<uint16_t>(); }
	constexpr uint32_t u32_le() { return _le<uint32_t>(); }
	constexpr uint64_t u64_le() { return _le<uint64_t>(); }
	constexpr uint16_t u16_be() { return _be<uint16_t>(); }
	constexpr uint32_t u32_be() { return _be<uint32_t>(); }
	constexpr uint64_t u64_be() { return _be<uint64_t>(); }

	/* A view of the next `n` bytes. */
	constexpr Bytes bytes(size_t n)
	{
		if (n > _rest.size()) {
			fail();
			return {};
		}
		Bytes const taken = _rest.first(n);
		_rest = _rest.subspan(n);
		return taken;
	}

	constexpr void skip(size_t n) { static_cast<void>(bytes(n)); }

	/* Fills `to` completely, with zeros if there are too few bytes. */
	constexpr void copy_to(Mutable_bytes to)
	{
		Bytes const from = bytes(to.size());
		if (_ok)
			copy_bytes(to, from);
		else
			fill_bytes(to, 0);
	}

	/* All bytes that are left. */
	constexpr Bytes rest() { return bytes(_rest.size()); }

	/* How many bytes are left; none after a failure. */
	constexpr size_t left() const { return _rest.size(); }

	/* Makes the reader fail: the parser has found nonsense. */
	constexpr void fail()
	{
		_rest = {};
		_ok = false;
	}

	/* Whether everything read so far was there. */
	[[nodiscard]] constexpr bool ok() const { return _ok; }

	/* Whether everything was there and nothing is left. */
	[[nodiscard]] constexpr bool complete() const { return _ok && _rest.empty(); }
};

/*
 * Puts a message together in memory of the caller's. What doesn't fit is left out and makes this
 * and every further write fail; `finish()` yields the message or TOO_LONG.
 */
class Byte_writer
{
private:
	Mutable_bytes _to;
	size_t _size = 0;
	bool _ok = true;

	template <size_t N>
	constexpr void _put(auto const &store)
	{
		if (Mutable_bytes const to = _take(N); !to.empty()) store(to.first<N>());
	}

	constexpr Mutable_bytes _take(size_t n)
	{
		if (!_ok || n > _to.size() - _size) {
			_ok = false;
			return {};
		}
		Mutable_bytes const taken = _to.subspan(_size, n);
		_size += n;
		return taken;
	}

	template <std::unsigned_integral T>
	constexpr void _le(T value)
	{
		_put<sizeof(T)>([&](std::span<uint8_t, sizeof(T)> to) { store_le<T>(to, value); });
	}

	template <std::unsigned_integral T>
	constexpr void _be(T value)
	{
		_put<sizeof(T)>([&](std::span<uint8_t, sizeof(T)> to) { store_be<T>(to, value); });
	}

public:
	constexpr explicit Byte_writer(Mutable_bytes to) : _to(to) {}

	constexpr void u8(uint8_t value) { _le(value); }
	constexpr void u16_le(uint16_t value) { _le(value); }
	constexpr void u32_le(uint32_t value) { _le(value); }
	constexpr void u64_le(uint64_t value) { _le(value); }
	constexpr void u16_be(uint16_t value) { _be(value); }
	constexpr void u32_be(uint32_t value) { _be(value); }
	constexpr void u64_be(uint64_t value) { _be(value); }

	constexpr void bytes(Bytes from) { copy_bytes(_take(from.size()), from); }
	constexpr void zeros(size_t n) { fill_bytes(_take(n), 0); }

	/* How many bytes are written: where the next one goes. */
	constexpr size_t size() const { return _size; }

	/* How many bytes may still be written. */
	constexpr size_t left() const { return _ok ? _to.size() - _size : 0; }

	/*
	 * Overwrites what was written, e.g. a length that wasn't known then. The writer fails if
	 * nothing was written there.
	 */
	constexpr void bytes_at(size_t offset, Bytes from)
	{
		if (offset > _size || from.size() > _size - offset)
			_ok = false;
		else
			copy_bytes(_to.subspan(offset, from.size()), from);
	}
	template <std::unsigned_integral T>
	constexpr void le_at(size_t offset, T value)
	{
		uint8_t encoded[sizeof(T)]{};
		store_le<T>(encoded, value);
		bytes_at(offset, encoded);
	}
	template <std::unsigned_integral T>
	constexpr void be_at(size_t offset, T value)
	{
		uint8_t encoded[sizeof(T)]{};
		store_be<T>(encoded, value);
		bytes_at(offset, encoded);
	}

	[[nodiscard]] constexpr bool ok() const { return _ok; }

	/* The message. Error: TOO_LONG. */
	constexpr Attempt<Mutable_bytes> finish() const
	{
		if (!_ok) return Error::TOO_LONG;
		return _to.first(_size);
	}
};

} // namespace bulkhead
