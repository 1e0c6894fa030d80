#pragma once

// The buses and devices of a manifest: checked, described without touching anything, or opened and
// driven.

#include "driver/char_device.h"
#include "driver/tpm/command_filter.h"
#include "platform/linux/loop.h"
#include "sdk/host_system/manifest.h"
#include "sdk/host_system/wires.h"
#include "vfs/plugin/char_device/devices.h"

#include <memory>
#include <optional>

namespace bulkhead::host_system {

/* An open bus, of whatever kind. */
class Bus_host;

/* A driver with its chip and its sessions. */
class Device_host;

class Hardware final : public vfs::Devices
{
private:
	linux_host::Loop &_loop;
	Wires &_wires;
	Manifest &_manifest;
	tpm::Command_policy *const _commands;
	std::vector<std::pair<std::string, std::unique_ptr<Bus_host>>> _buses{};
	std::vector<std::pair<std::string, std::unique_ptr<Device_host>>> _devices{};

	void _check_bus(Section const &);
	void _check_device(Section const &);
	void _check_chips();
	std::optional<Trouble> _open_bus(Section const &);
	std::optional<Trouble> _start_device(Section const &);

public:
	/* All outlive the hardware. `commands`: who may give which to TPMs; null: all, all. */
	Hardware(linux_host::Loop &loop, Wires &wires, Manifest &manifest,
		tpm::Command_policy *commands = nullptr);
	~Hardware();

	/* Adds all faults of the sections of buses and devices to the manifest's. */
	void check();

	/* Stand-ins for the devices, which say what they are and can't be opened. */
	void describe();

	/*
	 * Opens the buses, starts the drivers and waits until they have found their chips; runs the
	 * loop meanwhile. What was begun is undone when the hardware goes.
	 */
	std::optional<Trouble> start();

	/* Takes all devices and buses away. */
	void forget();

	Char_device *find(std::string_view name) override;
	std::string_view name(size_t index) const override
	{
		return index < _devices.size() ? _devices[index].first : std::string_view();
	}
};

} // namespace bulkhead::host_system
