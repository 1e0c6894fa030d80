#include "sdk/c/tss2_spi_helper.h"

#include "sdk/c/bus.h"

using namespace bulkhead;

static constexpr uint32_t SUCCESS = 0;

static Bulkhead_tpm_bus *bus_of(void *user_data)
{
	return static_cast<Bulkhead_tpm_bus *>(user_data);
}

uint32_t bulkhead_tss2_sleep_ms(void *user_data, int milliseconds)
{
	Bulkhead_tpm_bus *const bus = bus_of(user_data);
	if (!bus) return BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE;
	if (milliseconds < 0) return BULKHEAD_TSS2_TCTI_RC_BAD_VALUE;
	uint64_t const until_us = bus->bus.now_us() + static_cast<uint64_t>(milliseconds) * 1000;
	while (bus->bus.now_us() < until_us) bus->bus.sleep_until(until_us);
	return SUCCESS;
}

uint32_t bulkhead_tss2_start_timeout(void *user_data, int milliseconds)
{
	Bulkhead_tpm_bus *const bus = bus_of(user_data);
	if (!bus) return BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE;
	if (milliseconds < 0) return BULKHEAD_TSS2_TCTI_RC_BAD_VALUE;
	bus->timeout_us = bus->bus.now_us() + static_cast<uint64_t>(milliseconds) * 1000;
	return SUCCESS;
}

uint32_t bulkhead_tss2_timeout_expired(void *user_data, bool *result)
{
	Bulkhead_tpm_bus *const bus = bus_of(user_data);
	if (!bus || !result) return BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE;
	*result = bus->bus.now_us() >= bus->timeout_us;
	return SUCCESS;
}

uint32_t bulkhead_tss2_spi_acquire(void *user_data)
{
	Bulkhead_tpm_bus *const bus = bus_of(user_data);
	if (!bus) return BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE;
	Attempt<void, spi::Error> const taken = bus->bus.device().try_acquire();
	if (taken.ok()) return SUCCESS;
	sdk::note(*bus, taken.error());
	return taken.error() == spi::Error::INVALID ? BULKHEAD_TSS2_TCTI_RC_BAD_SEQUENCE
												: BULKHEAD_TSS2_TCTI_RC_IO_ERROR;
}

uint32_t bulkhead_tss2_spi_release(void *user_data)
{
	Bulkhead_tpm_bus *const bus = bus_of(user_data);
	if (!bus) return BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE;
	Attempt<void, spi::Error> const released = bus->bus.device().release();
	if (released.ok()) return SUCCESS;
	sdk::note(*bus, released.error());
	return BULKHEAD_TSS2_TCTI_RC_BAD_SEQUENCE;
}

static spi::Segment segment_of(Bytes sent, Mutable_bytes received)
{
	if (!sent.data()) return spi::Segment::in(received);
	if (!received.data()) return spi::Segment::out(sent);
	return spi::Segment::exchange(sent, received);
}

uint32_t bulkhead_tss2_spi_transfer(
	void *user_data, void const *data_out, void *data_in, size_t size)
{
	Bulkhead_tpm_bus *const bus = bus_of(user_data);
	if (!bus || (!data_out && !data_in)) return BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE;
	if (size == 0) return SUCCESS;
	spi::Segment const segment = segment_of(
		{static_cast<uint8_t const *>(data_out), size}, {static_cast<uint8_t *>(data_in), size});
	spi::Device &device = bus->bus.device();
	spi::After const after = device.holds_bus() ? spi::After::KEEP_SELECTED : spi::After::DESELECT;
	Attempt<void, spi::Error> const done =
		bus->bus.run(device.transfer(bus->bus.job(), {&segment, 1}, after));
	if (done.ok()) return SUCCESS;
	sdk::note(*bus, done.error());
	return BULKHEAD_TSS2_TCTI_RC_IO_ERROR;
}

void bulkhead_tss2_finalize(void *user_data) { bulkhead_tpm_bus_close(bus_of(user_data)); }
