#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// What the start code and the two architectures share: the image's layout, as the linker script
// defines it, and the hooks that an architecture's folder fills in. Not for programs.

extern "C" {
extern char const bare_image_start[];
extern char const bare_text_end[];
extern char const bare_rodata_end[];
extern char const bare_data_end[];
extern char const bare_guard_start[];
extern char const bare_stack_start[];
extern char const bare_stack_end[];

// Entered from start.S on the image's own stack.
[[noreturn]] void bare_start();
}

namespace bulkhead::bare {

inline constexpr std::uintptr_t PAGE_SIZE = 4096;

// The linker script keeps everything but .bss inside the one large page that starts the image, so
// only that one is split to give each section its own rights.
inline constexpr std::uintptr_t LARGE_PAGE_SIZE = std::uintptr_t{2} << 20;

enum class Page { TEXT, RODATA, DATA, GUARD };

inline std::uintptr_t address(void const *pointer)
{
	return reinterpret_cast<std::uintptr_t>(pointer);
}

// The rights of a page of the image, or of the free memory behind it.
inline Page page_at(std::uintptr_t where)
{
	if (where >= address(bare_guard_start) && where < address(bare_stack_start)) return Page::GUARD;
	if (where < address(bare_text_end)) return Page::TEXT;
	return where < address(bare_rodata_end) ? Page::RODATA : Page::DATA;
}

// Exact for any number of ticks: no product exceeds 64 bits below 18 THz.
inline std::uint64_t ticks_to_us(std::uint64_t ticks, std::uint64_t hz)
{
	constexpr std::uint64_t US = 1'000'000;
	return ticks / hz * US + ticks % hz * US / hz;
}

// The first tick at or after that time.
inline std::uint64_t us_to_ticks(std::uint64_t time_us, std::uint64_t hz)
{
	constexpr std::uint64_t US = 1'000'000;
	return time_us / US * hz + (time_us % US * hz + US - 1) / US;
}

struct Exception
{
	std::string_view name;
	std::uint64_t instruction;
	std::uint64_t stack;
	std::uint64_t fault_address;
	// The processor's own words: x86_64's error code, aarch64's ESR.
	std::uint64_t syndrome;
};

// Prints one line and exits with EXIT_EXCEPTION.
[[noreturn]] void report(Exception const &exception);

// An architecture's part.
void machine_setup();
void send(char byte);
[[noreturn]] void power_off(int code);

} // namespace bulkhead::bare
