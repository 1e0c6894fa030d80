#include "platform/bare/check.h"
#include "platform/bare/clock.h"
#include "platform/bare/machine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

// The layer's own test: the memory functions against naive loops, the clock, the console, and what
// start.S promises.

extern "C" {
void *memcpy(void *to, void const *from, std::size_t size);
void *memmove(void *to, void const *from, std::size_t size);
void *memset(void *to, int value, std::size_t size);
int memcmp(void const *left, void const *right, std::size_t size);
void *memchr(void const *from, int value, std::size_t size);
std::size_t strlen(char const *text);
}

namespace {

using namespace bulkhead::bare;

constexpr std::size_t SIZE_MAX_TESTED = 70;
constexpr std::size_t OFFSETS = 9;
constexpr std::size_t BUFFER = SIZE_MAX_TESTED + 2 * OFFSETS;

using Buffer = std::array<unsigned char, BUFFER>;

// The compiler must not work out at compile time what is under test.
template <typename T>
T *hidden(T *pointer)
{
	asm volatile("" : "+r"(pointer) : : "memory");
	return pointer;
}

void fill(Buffer &buffer, unsigned seed)
{
	for (auto &byte : buffer) byte = static_cast<unsigned char>(seed = seed * 75 + 74);
}

bool same(Buffer const &left, Buffer const &right)
{
	for (std::size_t index = 0; index < BUFFER; index++)
		if (left[index] != right[index]) return false;
	return true;
}

void copies(Check_run &run)
{
	Buffer source, target, expected;
	for (std::size_t size = 0; size <= SIZE_MAX_TESTED; size++)
		for (std::size_t from = 0; from < OFFSETS; from++)
			for (std::size_t to = 0; to < OFFSETS; to++) {
				fill(source, 1);
				fill(target, 2);
				fill(expected, 2);
				for (std::size_t index = 0; index < size; index++)
					expected[to + index] = source[from + index];
				auto const result =
					memcpy(hidden(target.data()) + to, hidden(source.data()) + from, size);
				CHECK(run, result == target.data() + to);
				if (!CHECK(run, same(target, expected))) return;
			}
}

void moves(Check_run &run)
{
	Buffer buffer, original, expected;
	for (std::size_t size = 0; size <= SIZE_MAX_TESTED; size++)
		for (std::size_t from = 0; from < 2 * OFFSETS; from++)
			for (std::size_t to = 0; to < 2 * OFFSETS; to++) {
				fill(buffer, 3);
				fill(original, 3);
				fill(expected, 3);
				for (std::size_t index = 0; index < size; index++)
					expected[to + index] = original[from + index];
				auto const data = hidden(buffer.data());
				CHECK(run, memmove(data + to, data + from, size) == data + to);
				if (!CHECK(run, same(buffer, expected))) return;
			}
}

void sets(Check_run &run)
{
	Buffer buffer, expected;
	for (std::size_t size = 0; size <= SIZE_MAX_TESTED; size++)
		for (std::size_t to = 0; to < OFFSETS; to++) {
			fill(buffer, 4);
			fill(expected, 4);
			for (std::size_t index = 0; index < size; index++) expected[to + index] = 0xA5;
			// Only the lowest byte of the value counts.
			memset(hidden(buffer.data()) + to, 0x1A5, size);
			if (!CHECK(run, same(buffer, expected))) return;
		}
}

void compares(Check_run &run)
{
	Buffer left, right;
	for (std::size_t size = 0; size <= SIZE_MAX_TESTED; size++)
		for (std::size_t from = 0; from < OFFSETS; from++) {
			fill(left, 5);
			fill(right, 5);
			auto const a = hidden(left.data()) + from, b = hidden(right.data()) + from;
			CHECK(run, memcmp(a, b, size) == 0);
			right[from + size] ^= 1;
			CHECK(run, memcmp(a, b, size) == 0);
			for (std::size_t index = 0; index < size; index++) {
				// Differences behind the first one must not matter, nor must the sign bit.
				a[index] = 0x7F, b[index] = 0x80;
				if (!CHECK(run, memcmp(a, b, size) < 0 && memcmp(b, a, size) > 0)) return;
				a[index] = b[index] = 0;
			}
		}
}

void finds(Check_run &run)
{
	Buffer buffer;
	for (std::size_t size = 0; size < SIZE_MAX_TESTED; size++) {
		for (auto &byte : buffer) byte = 1;
		buffer[size] = 0;
		auto const data = hidden(buffer.data());
		CHECK(run, strlen(reinterpret_cast<char const *>(data)) == size);
		CHECK(run, memchr(data, 0x100, BUFFER) == data + size);
		CHECK(run, memchr(data, 0, size) == nullptr);
	}
}

void clock_advances(Check_run &run)
{
	Monotonic_clock const own;
	bulkhead::Clock const &clock = own;
	std::uint64_t const start = clock.now_us();
	std::uint64_t last = start;
	std::uint64_t readings = 0;
	// A clock that stands still ends as a time-out of the run.
	while (last - start < 20'000) {
		std::uint64_t const now = clock.now_us();
		if (!CHECK(run, now >= last)) return;
		last = now;
		readings++;
		relax();
	}
	// Between a reading in 2 ms and 1000 in a microsecond lies any machine, however slow or loaded.
	CHECK(run, readings >= 10);
	CHECK(run, readings < 20'000'000);
	// Since the start of the machine: less than ten minutes, unless the unit is wrong.
	CHECK(run, last < 600'000'000);
}

void idles(Check_run &run)
{
	constexpr std::uint64_t WAIT_US = 20'000;
	for (unsigned round = 0; round < 5; round++) {
		std::uint64_t const end = monotonic_us() + WAIT_US;
		idle_until_us(end);
		CHECK(run, monotonic_us() >= end);
	}
	std::uint64_t const past = monotonic_us();
	idle_until_us(0);
	idle_until_us(past);
	// Too short for a timer to be set in time, now and then.
	for (unsigned round = 0; round < 1000; round++) idle_until_us(monotonic_us() + round % 4);
	// An end that never comes is cut off.
	idle_until_us(std::numeric_limits<std::uint64_t>::max());
	CHECK(run, monotonic_us() >= past + IDLE_MAX_US);
}

// What arrives is compared by the ctest.
void prints(Check_run &)
{
	print("console: ", ' ', -1, ' ', std::numeric_limits<std::uint64_t>::max(), ' ', true, ' ',
		bulkhead::Hex(0xFED4'0000), "\n");
	Console_log_sink sink;
	bulkhead::Log const log{sink};
	log.warning("count ", 3);
}

constinit std::uint64_t zeroed[1000]{};
constinit std::uint64_t given = 0x1234'5678'9ABC'DEF0;

void memory_starts_as_written(Check_run &run)
{
	CHECK(run, std::all_of(hidden(zeroed), zeroed + 1000, [](auto word) { return word == 0; }));
	CHECK(run, *hidden(&given) == 0x1234'5678'9ABC'DEF0);
	given = 1;
	CHECK(run, *hidden(&given) == 1);
}

void large_objects_fit_the_stack(Check_run &run)
{
	unsigned char large[200 * 1024];
	auto const data = hidden(static_cast<unsigned char *>(large));
	data[0] = 1;
	data[sizeof large - 1] = 2;
	CHECK(run, *hidden(data) == 1 && hidden(data)[sizeof large - 1] == 2);
}

void unaligned_access_works(Check_run &run)
{
	unsigned char bytes[16]{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
	std::uint64_t word;
	auto const source = hidden(static_cast<unsigned char *>(bytes)) + 1;
#if defined(__x86_64__)
	asm volatile("movq %1, %0" : "=r"(word) : "m"(*source) : "memory");
#else
	asm volatile("ldr %0, [%1]" : "=r"(word) : "r"(source) : "memory");
#endif
	CHECK(run, word == 0x0807'0605'0403'0201);
}

void atomics_work(Check_run &run)
{
	std::atomic<std::uint32_t> counter{41};
	CHECK(run, counter.fetch_add(1) == 41 && counter.load() == 42);
	std::uint32_t wanted = 42;
	CHECK(run, counter.compare_exchange_strong(wanted, 1) && counter.exchange(5) == 1);
}

// The toolchain may compile for vector registers, so they must be on.
void vector_registers_work(Check_run &run)
{
	std::uint64_t result;
#if defined(__x86_64__)
	asm volatile("movq %1, %%xmm15\n\tpaddq %%xmm15, %%xmm15\n\tmovq %%xmm15, %0"
		: "=r"(result)
		: "r"(std::uint64_t{21}));
#else
	asm volatile(".arch armv8-a\n\tfmov d31, %1\n\tadd v31.2d, v31.2d, v31.2d\n\tfmov %0, d31"
		: "=r"(result)
		: "r"(std::uint64_t{21}));
#endif
	CHECK(run, result == 42);
}

} // namespace

int bare_main()
{
	Check_run run;
	run.test("memcpy copies every small size at every alignment", copies);
	run.test("memmove moves every small size over every overlap", moves);
	run.test("memset sets exactly what it should", sets);
	run.test("memcmp decides at the first difference", compares);
	run.test("memchr and strlen find the first match", finds);
	run.test("the clock goes forward at a plausible rate", clock_advances);
	run.test("the processor idles until a time", idles);
	run.test("the console prints numbers and text", prints);
	run.test("data and zeroed memory start as written", memory_starts_as_written);
	run.test("the stack holds large objects", large_objects_fit_the_stack);
	run.test("unaligned access works", unaligned_access_works);
	run.test("atomics work without helpers", atomics_work);
	run.test("vector registers are on", vector_registers_work);
	return run.result();
}
