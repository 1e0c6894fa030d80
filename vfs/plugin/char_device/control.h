#pragma once

// The commands by which settings and actions of a device reach it through File::control. They are
// numbered as Linux's <linux/ioctl.h> does it (_IOR, _IOW and _IO of type 'B'), so that a program
// can use them with ioctl on a mounted device. Values are 64-bit integers of the host's byte order.

#include "driver/char_device.h"

#include <optional>

namespace bulkhead::vfs {

inline constexpr uint32_t CONTROL_TYPE = uint32_t{'B'} << 8;
inline constexpr uint32_t CONTROL_VALUE = uint32_t{sizeof(uint64_t)} << 16;
inline constexpr uint32_t CONTROL_READ = uint32_t{2} << 30 | CONTROL_VALUE | CONTROL_TYPE;
inline constexpr uint32_t CONTROL_WRITE = uint32_t{1} << 30 | CONTROL_VALUE | CONTROL_TYPE;
inline constexpr uint32_t CONTROL_ACTION = CONTROL_TYPE | 0x80;

inline constexpr uint32_t SETTINGS = static_cast<uint32_t>(Setting::HOLD_BUS) + 1;
inline constexpr uint32_t ACTIONS = static_cast<uint32_t>(Action::RESET) + 1;

/* Yields a setting's value into `Control::out`. */
constexpr uint32_t control_to_read(Setting setting)
{
	return CONTROL_READ | static_cast<uint32_t>(setting);
}

/* Changes a setting to the value in `Control::in`. */
constexpr uint32_t control_to_write(Setting setting)
{
	return CONTROL_WRITE | static_cast<uint32_t>(setting);
}

constexpr uint32_t control_to_act(Action action)
{
	return CONTROL_ACTION | static_cast<uint32_t>(action);
}

/* The setting or action that a command is about, none if it isn't of the kind. */
constexpr std::optional<Setting> setting_of(uint32_t command, uint32_t kind)
{
	uint32_t const number = command - kind;
	if (command < kind || number >= SETTINGS) return {};
	return static_cast<Setting>(number);
}
constexpr std::optional<Action> action_of(uint32_t command)
{
	uint32_t const number = command - CONTROL_ACTION;
	if (command < CONTROL_ACTION || number >= ACTIONS) return {};
	return static_cast<Action>(number);
}

} // namespace bulkhead::vfs
