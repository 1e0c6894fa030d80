#include "sdk/c/wolftpm.h"

#include "driver/tpm/spi_access.h"
#include "sdk/c/bus.h"

using namespace bulkhead;

// The codes that wolfTPM knows from TPM 2.0 Part 2, 6.6.3.
static constexpr int TPM_RC_SUCCESS = 0x000;
static constexpr int TPM_RC_FAILURE = 0x101;

static constexpr size_t HEADER_BYTES = 4;
static constexpr uint8_t READY = 0x01; // bit 0 of the byte that ends the wait states
static constexpr uint32_t WAIT_STATES_MAX = 1000;

template <typename E>
static int fail(Bulkhead_tpm_bus *bus, E error)
{
	if (bus) sdk::note(*bus, error);
	return TPM_RC_FAILURE;
}

/* The whole frame at once, where the chip can't be kept selected over a look at the wait bit. */
static Attempt<void, spi::Error> exchange_blindly(
	Bulkhead_tpm_bus &bus, Bytes sent, Mutable_bytes received)
{
	spi::Segment const segment = spi::Segment::exchange(sent, received);
	sdk::Host_bus &host = bus.bus;
	TRY(host.run(host.device().transfer(host.job(), {&segment, 1})));
	if (!(received[HEADER_BYTES - 1] & READY)) return spi::Error::CONDITION_UNMET;
	return Ok{};
}

static Attempt<void, spi::Error> exchange(Bulkhead_tpm_bus &bus, Bytes sent, Mutable_bytes received)
{
	sdk::Host_bus &host = bus.bus;
	spi::Limits const &limits = host.limits();
	if (!limits.conditional && !limits.keeps_selected) return exchange_blindly(bus, sent, received);
	spi::Segment const segments[]{
		spi::Segment::exchange(sent.first(HEADER_BYTES), received.first(HEADER_BYTES)),
		spi::Segment::until(READY, READY, WAIT_STATES_MAX),
		spi::Segment::exchange(sent.subspan(HEADER_BYTES), received.subspan(HEADER_BYTES)),
	};
	return host.run(host.device().transfer(host.job(), segments));
}

int bulkhead_wolftpm_io(
	TPM2_CTX *, uint8_t const *sent, uint8_t *received, uint16_t size, void *user)
{
	auto *const bus = static_cast<Bulkhead_tpm_bus *>(user);
	bool const frame = size > HEADER_BYTES && size <= HEADER_BYTES + tpm::SPI_FRAME_MAX_BYTES;
	if (!bus || !sent || !received || !frame) return fail(bus, Error::INVALID);
	Attempt<void, spi::Error> const done = exchange(*bus, {sent, size}, {received, size});
	return done.ok() ? TPM_RC_SUCCESS : fail(bus, done.error());
}

int bulkhead_wolftpm_advanced_io(
	TPM2_CTX *, int32_t is_read, uint32_t address, uint8_t *buffer, uint16_t size, void *user)
{
	auto *const bus = static_cast<Bulkhead_tpm_bus *>(user);
	uint32_t const base = address & ~0xffffu;
	bool const tpm = base == 0 || base == tpm::SPI_BASE || base == tpm::MMIO_BASE;
	if (!bus || !buffer || !size || !tpm) return fail(bus, Error::INVALID);

	tpm::Spi_access access{bus->bus.device(), WAIT_STATES_MAX};
	if (size > access.size_max()) return fail(bus, Error::TOO_LONG);
	auto const at = static_cast<uint16_t>(address);
	Job &job = bus->bus.job();
	Attempt<void, tpm::Error> const done = bus->bus.run(
		is_read ? access.read(job, at, {buffer, size}) : access.write(job, at, {buffer, size}));
	return done.ok() ? TPM_RC_SUCCESS : fail(bus, done.error());
}
