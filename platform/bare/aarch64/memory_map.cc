#include "platform/bare/internal.h"

#include <cstddef>
#include <cstdint>

// The page tables of QEMU's `virt` machine, one to one:
//
//   0           absent: flash, and null pointers
//   0x08000000  devices: GIC, PL011, virtio, PCIe window
//   1 GiB       RAM: data, except
//   1026 MiB    the image: text, constants, data, guard page, stack
//
// It runs with the MMU off, when all memory counts as device memory: compiled with -mstrict-align
// and without loops that turn into memset.

extern "C" std::uint64_t const *bare_map_memory();

namespace bulkhead::bare {
namespace {

// Arm Architecture Reference Manual (DDI 0487), D8.3.
constexpr std::uint64_t BLOCK = 0b01, TABLE = 0b11, PAGE = 0b11;
constexpr std::uint64_t NORMAL = std::uint64_t{1} << 2, READ_ONLY = std::uint64_t{1} << 7,
						INNER_SHAREABLE = std::uint64_t{3} << 8, ACCESSED = std::uint64_t{1} << 10,
						NO_EXECUTE = std::uint64_t{3} << 53;
constexpr std::uint64_t TEXT = NORMAL | INNER_SHAREABLE | ACCESSED | READ_ONLY;
constexpr std::uint64_t DATA = NORMAL | INNER_SHAREABLE | ACCESSED | NO_EXECUTE;
constexpr std::uint64_t DEVICE = ACCESSED | NO_EXECUTE;

constexpr std::size_t ENTRIES = 512;
constexpr std::uintptr_t DEVICES_START = 0x0800'0000, RAM_START = 0x4000'0000;

alignas(PAGE_SIZE) constinit std::uint64_t root[ENTRIES]{};
alignas(PAGE_SIZE) constinit std::uint64_t device_blocks[ENTRIES]{};
alignas(PAGE_SIZE) constinit std::uint64_t ram_blocks[ENTRIES]{};
alignas(PAGE_SIZE) constinit std::uint64_t image_pages[ENTRIES]{};

std::uint64_t page_entry(std::uintptr_t where)
{
	switch (page_at(where)) {
	case Page::TEXT: return where | TEXT | PAGE;
	case Page::RODATA: return where | DATA | READ_ONLY | PAGE;
	case Page::DATA: return where | DATA | PAGE;
	case Page::GUARD: return 0;
	}
	return 0;
}

} // namespace
} // namespace bulkhead::bare

std::uint64_t const *bare_map_memory()
{
	using namespace bulkhead::bare;
	std::uintptr_t const image = address(bare_image_start);
	for (std::size_t index = 0; index < ENTRIES; index++) {
		std::uintptr_t const device = index * LARGE_PAGE_SIZE;
		std::uintptr_t const ram = RAM_START + device;
		if (device >= DEVICES_START) device_blocks[index] = device | DEVICE | BLOCK;
		ram_blocks[index] = ram == image ? address(image_pages) | TABLE : ram | DATA | BLOCK;
		image_pages[index] = page_entry(image + index * PAGE_SIZE);
	}
	root[0] = address(device_blocks) | TABLE;
	root[1] = address(ram_blocks) | TABLE;
	return root;
}
