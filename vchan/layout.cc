#include "vchan/layout.h"

#include <bit>
#include <new>

namespace bulkhead::vchan {
namespace {

bool valid(Sizes sizes)
{
	if (sizes.to_client == 0 && sizes.to_server == 0) return false; // carries nothing
	return valid_size(sizes.to_client) && valid_size(sizes.to_server);
}

uint32_t ceiling(uint32_t bytes) { return bytes ? std::bit_ceil(bytes) : 0; }

size_t in_pages(uint32_t bytes) { return (bytes + PAGE - 1) & ~(PAGE - 1); }

} // namespace

Attempt<Sizes, Error> rounded(Sizes sizes)
{
	// The next power of two may not exist.
	if (sizes.to_client > RING_MAX || sizes.to_server > RING_MAX) return Error::BAD_SIZE;
	Sizes const next{ceiling(sizes.to_client), ceiling(sizes.to_server)};
	if (!valid(next)) return Error::BAD_SIZE;
	return next;
}

size_t region_bytes(Sizes sizes)
{
	return PAGE + in_pages(sizes.to_client) + in_pages(sizes.to_server);
}

Attempt<void, Error> format(Control &control, Sizes sizes, uint32_t generation)
{
	if (generation > GENERATION_MAX) return Error::BAD_GENERATION;
	constexpr auto RELAXED = std::memory_order_relaxed; // nobody else has the region yet
	control.header.version.store(VERSION, RELAXED);
	control.header.to_client_bytes.store(sizes.to_client, RELAXED);
	control.header.to_server_bytes.store(sizes.to_server, RELAXED);
	control.header.generation.store(generation, RELAXED);
	control.header.magic.store(MAGIC, std::memory_order_release);
	return Ok{};
}

Attempt<Attachment, Error> attach(std::span<std::byte> region, uint32_t generation, Role role)
{
	if (region.size() < PAGE) return Error::REGION_TOO_SMALL;
	if (reinterpret_cast<uintptr_t>(region.data()) % CACHE_LINE != 0) return Error::MISALIGNED;
	Control &control = *std::launder(reinterpret_cast<Control *>(region.data()));
	Header const &header = control.header;
	constexpr auto RELAXED = std::memory_order_relaxed;
	if (header.magic.load(std::memory_order_acquire) != MAGIC) return Error::BAD_MAGIC;
	if (header.version.load(RELAXED) != VERSION) return Error::BAD_VERSION;
	Sizes const sizes{header.to_client_bytes.load(RELAXED), header.to_server_bytes.load(RELAXED)};
	if (!valid(sizes)) return Error::BAD_SIZE;
	if (header.generation.load(RELAXED) != generation || generation > GENERATION_MAX)
		return Error::BAD_GENERATION;
	if (region.size() < region_bytes(sizes)) return Error::REGION_TOO_SMALL;
	uint8_t *const rings = reinterpret_cast<uint8_t *>(region.data()) + PAGE;
	std::span<uint8_t> const to_client{rings, sizes.to_client};
	std::span<uint8_t> const to_server{rings + in_pages(sizes.to_client), sizes.to_server};
	if (role == Role::SERVER)
		return Attachment{&control.server, &control.client, to_client, to_server, generation};
	return Attachment{&control.client, &control.server, to_server, to_client, generation};
}

} // namespace bulkhead::vchan
