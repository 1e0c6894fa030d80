#include <cstddef>
#include <cstdint>

// The memory functions that compilers expect of every environment, and the few that standard
// headers call. Compiled with -fno-builtin and without loop-pattern recognition, so that no loop
// here is replaced by a call of the function it implements. Words are moved unaligned: both
// architectures allow it in normal memory, which is all that these may be used on.

namespace {

struct [[gnu::packed, gnu::may_alias]] Word
{
	std::uint64_t bits;
};

constexpr std::size_t WORD = sizeof(Word);

using Byte = unsigned char;

void copy_forward(Byte *to, Byte const *from, std::size_t size)
{
	for (; size >= WORD; size -= WORD, to += WORD, from += WORD)
		*reinterpret_cast<Word *>(to) = *reinterpret_cast<Word const *>(from);
	for (; size != 0; size--) *to++ = *from++;
}

void copy_backward(Byte *to, Byte const *from, std::size_t size)
{
	for (; size >= WORD; size -= WORD)
		*reinterpret_cast<Word *>(to + size - WORD) =
			*reinterpret_cast<Word const *>(from + size - WORD);
	for (; size != 0; size--) to[size - 1] = from[size - 1];
}

} // namespace

extern "C" {

void *memcpy(void *__restrict to, void const *__restrict from, std::size_t size)
{
	copy_forward(static_cast<Byte *>(to), static_cast<Byte const *>(from), size);
	return to;
}

void *memmove(void *to, void const *from, std::size_t size)
{
	// One comparison: true if `to` lies before `from`, or behind its end.
	auto const distance =
		reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from);
	auto const target = static_cast<Byte *>(to);
	auto const source = static_cast<Byte const *>(from);
	if (distance >= size)
		copy_forward(target, source, size);
	else
		copy_backward(target, source, size);
	return to;
}

void *memset(void *to, int value, std::size_t size)
{
	auto target = static_cast<Byte *>(to);
	auto const byte = static_cast<Byte>(value);
	Word const word{byte * std::uint64_t{0x0101'0101'0101'0101}};
	for (; size >= WORD; size -= WORD, target += WORD) *reinterpret_cast<Word *>(target) = word;
	for (; size != 0; size--) *target++ = byte;
	return to;
}

int memcmp(void const *left, void const *right, std::size_t size)
{
	auto a = static_cast<Byte const *>(left);
	auto b = static_cast<Byte const *>(right);
	while (size >= WORD &&
		reinterpret_cast<Word const *>(a)->bits == reinterpret_cast<Word const *>(b)->bits) {
		a += WORD;
		b += WORD;
		size -= WORD;
	}
	for (; size != 0; size--, a++, b++)
		if (*a != *b) return *a - *b;
	return 0;
}

void *memchr(void const *from, int value, std::size_t size)
{
	auto const bytes = static_cast<Byte const *>(from);
	for (std::size_t index = 0; index < size; index++)
		if (bytes[index] == static_cast<Byte>(value)) return const_cast<Byte *>(bytes + index);
	return nullptr;
}

std::size_t strlen(char const *text)
{
	std::size_t length = 0;
	while (text[length] != '\0') length++;
	return length;
}
}
