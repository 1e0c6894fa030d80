#pragma once

// A text of bounded length that lies in place: names, paths, messages. What doesn't fit is refused
// as a whole, so that a name is never silently another one.

#include "base/attempt.h"
#include "base/format.h"

#include <compare>
#include <string_view>

namespace bulkhead {

/* At most `CAPACITY` characters. Followed by a zero, so that it may be handed to C. */
template <size_t CAPACITY>
class Fixed_string
{
private:
	size_t _size = 0;
	char _text[CAPACITY + 1]{};

	constexpr void _end_at(size_t size)
	{
		BULKHEAD_ASSERT(size <= CAPACITY);
		_size = size;
		_text[size] = '\0';
	}

public:
	constexpr Fixed_string() = default;

	/* From a literal; one that is too long does not compile. */
	template <size_t N>
		requires(N <= CAPACITY + 1)
	consteval Fixed_string(char const (&literal)[N])
	{
		static_cast<void>(append(std::string_view(literal)));
	}

	/* Error: TOO_LONG. */
	static constexpr Attempt<Fixed_string> from(std::string_view text)
	{
		Fixed_string result;
		if (!result.append(text).ok()) return Error::TOO_LONG;
		return result;
	}

	/*
	 * Appends values as `format_value` does: all of them or, with TOO_LONG, nothing.
	 */
	template <Formattable... ARGS>
	constexpr Attempt<void> append(ARGS const &...args)
	{
		Text_writer writer{std::span<char>(_text).subspan(_size, CAPACITY - _size)};
		format_all(writer, args...);
		bool const fits = !writer.cut();
		_end_at(fits ? _size + writer.text().size() : _size);
		return fits ? Attempt<void>(Ok{}) : Error::TOO_LONG;
	}

	/* Replaces the text. Error: TOO_LONG, the text is as before. */
	constexpr Attempt<void> assign(std::string_view text)
	{
		if (text.size() > CAPACITY) return Error::TOO_LONG;
		// The new text may be a part of the old one.
		std::copy(text.begin(), text.end(), _text);
		_end_at(text.size());
		return Ok{};
	}

	/* Drops what is behind the first `size` characters. */
	constexpr void truncate(size_t size) { _end_at(std::min(size, _size)); }

	constexpr void clear() { truncate(0); }

	constexpr std::string_view view() const { return {_text, _size}; }
	constexpr operator std::string_view() const { return view(); }
	constexpr char const *c_str() const { return _text; }

	constexpr size_t size() const { return _size; }
	constexpr bool empty() const { return _size == 0; }
	static constexpr size_t capacity() { return CAPACITY; }

	template <size_t N>
	constexpr bool operator==(Fixed_string<N> const &other) const
	{
		return view() == other.view();
	}
	template <size_t N>
	constexpr std::strong_ordering operator<=>(Fixed_string<N> const &other) const
	{
		return view() <=> other.view();
	}
	constexpr bool operator==(std::string_view other) const { return view() == other; }
	constexpr std::strong_ordering operator<=>(std::string_view other) const
	{
		return view() <=> other;
	}
};

} // namespace bulkhead
