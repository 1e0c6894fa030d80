#include "tool/host_wires.h"

#include <fmt/format.h>

namespace bulkhead::tool {

using host_system::Section;
using host_system::Trouble;

void Host_wires::check(Section const &bus, std::vector<host_system::Fault> &faults) const
{
	std::string_view const controller = bus.text_of("controller");
	if (controller == "spidev" && !bus.find("device"))
		faults.push_back(
			bus.fault("controller", fmt::format("'device' is missing in {}", bus.heading),
				"add device = \"/dev/spidev0.0\""));
	if (controller == "sim" && bus.find("swtpm_control") && !bus.find("swtpm"))
		faults.push_back(
			bus.fault("swtpm_control", fmt::format("'swtpm' is missing in {}", bus.heading),
				"name both sockets, or none to have a private swtpm"));
}

std::unique_ptr<linux_host::Spidev> Host_wires::make_spidev()
{
	return std::make_unique<linux_host::Spidev>(_workers);
}

std::optional<Trouble> Host_wires::open(Section const &bus, linux_host::Spidev &controller)
{
	std::string const path(bus.text_of("device"));
	Attempt<void> const opened = controller.open(path.c_str());
	if (opened.ok()) return {};
	return Trouble{fmt::format("{}: {}: {}", bus.heading, path, name_of(opened.error())),
		std::string(linux_host::spidev_remedy(opened.error()))};
}

std::optional<Trouble> Host_wires::connect(Section const &bus, sim::Swtpm &swtpm)
{
	std::string data(bus.text_of("swtpm"));
	std::string control(bus.text_of("swtpm_control"));
	bool const own = data.empty();
	if (own) {
		sim::Swtpm_process &process = _processes.emplace_back();
		Attempt<void, sim::Swtpm_error> const started = process.start();
		if (!started.ok())
			return Trouble{fmt::format("{}: {}", bus.heading, process.message()),
				started.error() == sim::Swtpm_error::NOT_INSTALLED
					? "sudo apt-get install swtpm, or name a running one: swtpm = \"…\""
					: ""};
		data = process.data_socket();
		control = process.control_socket();
	}
	if (swtpm.connect(data, control).ok()) return {};
	return Trouble{fmt::format("{}: {}", bus.heading, swtpm.message()),
		own ? "" : "start it, or leave 'swtpm' out to have a private one"};
}

} // namespace bulkhead::tool
