#include "sdk/c/tpm_bus.h"

#include "sdk/c/bus.h"

#include <memory>
#include <new>

namespace bulkhead::sdk {

void say(Bulkhead_message *to, std::string_view text)
{
	if (!to) return;
	size_t const size = std::min(text.size(), sizeof(to->text) - 1);
	std::copy_n(text.begin(), size, to->text);
	to->text[size] = '\0';
}

} // namespace bulkhead::sdk

using namespace bulkhead;

int bulkhead_tpm_bus_open(char const *name, Bulkhead_tpm_bus **bus, Bulkhead_message *why)
{
	*bus = nullptr;
	std::unique_ptr<Bulkhead_tpm_bus> opened(new (std::nothrow) Bulkhead_tpm_bus);
	if (!opened) {
		sdk::say(why, "out of memory");
		return -errno_of(Error::OUT_OF_MEMORY);
	}
	Attempt<void> const result = opened->bus.open(name ? name : "");
	sdk::say(why, opened->bus.message());
	if (!result.ok()) return -errno_of(result.error());
	// Libraries look at a status register until a command is done, and do nothing else meanwhile.
	opened->bus.let_chip_block(true);
	*bus = opened.release();
	return 0;
}

void bulkhead_tpm_bus_close(Bulkhead_tpm_bus *bus) { delete bus; }

int bulkhead_tpm_bus_error(Bulkhead_tpm_bus const *bus) { return bus->error; }

bool bulkhead_tpm_bus_keeps_selected(Bulkhead_tpm_bus const *bus)
{
	return bus->bus.limits().keeps_selected;
}

void bulkhead_tpm_bus_count(Bulkhead_tpm_bus const *bus, Bulkhead_tpm_bus_counters *counters)
{
	sdk::Wire_counters const &counted = bus->bus.counters();
	*counters = {.frames = counted.frames, .transfers = counted.transfers, .bytes = counted.bytes};
}
