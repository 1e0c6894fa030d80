#include "component/files/given_wires.h"

#include <fmt/format.h>

namespace bulkhead::files {

using host_system::Section;
using host_system::Trouble;
using linux_host::Owned_fd;

void Given_wires::check(Section const &bus, std::vector<host_system::Fault> &faults) const
{
	std::string_view const controller = bus.text_of("controller");
	auto const demand = [&](std::string_view key) {
		if (bus.find(key)) return;
		faults.push_back(
			bus.fault("controller", fmt::format("'{}' is missing in {}", key, bus.heading),
				fmt::format("name a device that this domain is given: {} = \"wire\"", key)));
	};
	if (controller == "spidev") demand("device");
	if (controller == "sim") demand("swtpm");
}

std::optional<Trouble> Given_wires::_take(Section const &bus, std::string_view key, Owned_fd &to)
{
	std::string_view const name = bus.text_of(key);
	Attempt<Owned_fd> given = _env.device(name);
	if (given.ok()) {
		to = std::move(given).value();
		return {};
	}
	return Trouble{fmt::format("{}: this domain was not given a device '{}'", bus.heading,
					   host_system::printable(name)),
		fmt::format("add [domain.{}.device.{}] to the system's manifest; a device is for one bus",
			_env.name(), host_system::printable(name))};
}

std::unique_ptr<linux_host::Spidev> Given_wires::make_spidev()
{
	return std::make_unique<linux_host::Spidev>();
}

std::optional<Trouble> Given_wires::open(Section const &bus, linux_host::Spidev &controller)
{
	Owned_fd given;
	if (auto trouble = _take(bus, "device", given)) return trouble;
	Attempt<void> const adopted = controller.adopt(given.release());
	if (adopted.ok()) return {};
	return Trouble{fmt::format("{}: {}", bus.heading, name_of(adopted.error())),
		std::string(linux_host::spidev_remedy(adopted.error()))};
}

std::optional<Trouble> Given_wires::connect(Section const &bus, sim::Swtpm &swtpm)
{
	Owned_fd data, control;
	if (auto trouble = _take(bus, "swtpm", data)) return trouble;
	if (bus.find("swtpm_control"))
		if (auto trouble = _take(bus, "swtpm_control", control)) return trouble;
	swtpm.adopt(data.release(), control.release());
	return {};
}

} // namespace bulkhead::files
