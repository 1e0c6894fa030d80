#pragma once

// Buses of this host: device files that are opened, a swtpm that is found by its sockets or
// started.

#include "platform/linux/worker.h"
#include "platform/sim/swtpm_process.h"
#include "sdk/host_system/wires.h"

#include <deque>

namespace bulkhead::tool {

class Host_wires final : public host_system::Wires
{
private:
	linux_host::Worker_pool &_workers;
	std::deque<sim::Swtpm_process> _processes{};

public:
	/* The pool does the transfers of spidev, and outlives this. */
	explicit Host_wires(linux_host::Worker_pool &workers) : _workers(workers) {}

	void check(host_system::Section const &, std::vector<host_system::Fault> &) const override;
	std::unique_ptr<linux_host::Spidev> make_spidev() override;
	std::optional<host_system::Trouble> open(
		host_system::Section const &, linux_host::Spidev &) override;
	std::optional<host_system::Trouble> connect(
		host_system::Section const &, sim::Swtpm &) override;
};

} // namespace bulkhead::tool
