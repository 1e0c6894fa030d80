#pragma once

// Buses of a component: their ends are descriptors that the domain was given as devices.

#include "sdk/component/env.h"
#include "sdk/host_system/wires.h"

namespace bulkhead::files {

class Given_wires final : public host_system::Wires
{
private:
	component::Env &_env;

	std::optional<host_system::Trouble> _take(
		host_system::Section const &bus, std::string_view key, linux_host::Owned_fd &to);

public:
	/* The environment outlives this. */
	explicit Given_wires(component::Env &env) : _env(env) {}

	void check(host_system::Section const &, std::vector<host_system::Fault> &) const override;

	/* Transfers block the component: it has no threads, and it is there for its bus. */
	std::unique_ptr<linux_host::Spidev> make_spidev() override;
	std::optional<host_system::Trouble> open(
		host_system::Section const &, linux_host::Spidev &) override;
	std::optional<host_system::Trouble> connect(
		host_system::Section const &, sim::Swtpm &) override;
};

} // namespace bulkhead::files
