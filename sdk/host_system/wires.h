#pragma once

// Where the ends of buses come from: a program of the host opens device files and starts a swtpm, a
// component takes the descriptors that it was given.

#include "platform/linux/spidev.h"
#include "platform/sim/swtpm.h"
#include "sdk/host_system/manifest.h"

#include <memory>
#include <optional>

namespace bulkhead::host_system {

/* Why a bus or device isn't there. */
struct Trouble
{
	std::string what; // one sentence without its full stop
	std::string remedy = {};
};

/*
 * Belongs to the thread of the loop, and outlives the buses. What it opens may block for as long as
 * a start takes.
 */
class Wires
{
protected:
	~Wires() = default;

public:
	/* Adds what is wrong with the section of a bus beside what is wrong everywhere. */
	virtual void check(Section const &bus, std::vector<Fault> &faults) const = 0;

	/* A controller that isn't open yet. */
	virtual std::unique_ptr<linux_host::Spidev> make_spidev() = 0;
	virtual std::optional<Trouble> open(Section const &bus, linux_host::Spidev &) = 0;

	/* Connects to the swtpm that is to be the chip of a simulated bus. */
	virtual std::optional<Trouble> connect(Section const &bus, sim::Swtpm &) = 0;
};

} // namespace bulkhead::host_system
