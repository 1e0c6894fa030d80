#include "platform/bare/internal.h"
#include "platform/bare/x86_64/setup.h"

#include <cstddef>
#include <cstdint>

// start.S maps the first 4 GiB writable, executable and cached; here each part gets its rights:
//
//   0           first page absent (null pointers), the rest of the first 2 MiB data
//   2 MiB       the image: text, constants, data, guard page, stack
//   4 MiB       data
//   0xB0000000  devices, uncached: q35 never has RAM from here to 4 GiB

extern "C" std::uint64_t bare_page_directories[2048];

namespace bulkhead::bare {
namespace {

constexpr std::uint64_t PRESENT = 1, WRITABLE = 2, WRITE_THROUGH = 8, CACHE_DISABLE = 16,
						LARGE = 128, NO_EXECUTE = std::uint64_t{1} << 63;
constexpr std::uint64_t DATA = PRESENT | WRITABLE | NO_EXECUTE;
constexpr std::uint64_t DEVICES_START = 0xB000'0000;
constexpr std::size_t ENTRIES = 512;

alignas(PAGE_SIZE) constinit std::uint64_t low_pages[ENTRIES]{};
alignas(PAGE_SIZE) constinit std::uint64_t image_pages[ENTRIES]{};

std::uint64_t rights(Page page)
{
	switch (page) {
	case Page::TEXT: return PRESENT;
	case Page::RODATA: return PRESENT | NO_EXECUTE;
	case Page::DATA: return DATA;
	case Page::GUARD: return 0;
	}
	return 0;
}

} // namespace

void map_memory()
{
	std::uintptr_t const image = address(bare_image_start);
	for (std::size_t index = 1; index < ENTRIES; index++)
		low_pages[index] = index * PAGE_SIZE | DATA;
	for (std::size_t index = 0; index < ENTRIES; index++) {
		std::uintptr_t const where = image + index * PAGE_SIZE;
		image_pages[index] = where | rights(page_at(where));
	}

	for (std::size_t index = 0; index < 4 * ENTRIES; index++) {
		std::uint64_t const where = index * LARGE_PAGE_SIZE;
		std::uint64_t const uncached =
			where >= DEVICES_START ? WRITE_THROUGH | CACHE_DISABLE : std::uint64_t{0};
		bare_page_directories[index] = where | DATA | LARGE | uncached;
		if (where == 0) bare_page_directories[index] = address(low_pages) | PRESENT | WRITABLE;
		if (where == image)
			bare_page_directories[index] = address(image_pages) | PRESENT | WRITABLE;
	}
	std::uint64_t root;
	asm volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(root) : : "memory");
}

} // namespace bulkhead::bare
