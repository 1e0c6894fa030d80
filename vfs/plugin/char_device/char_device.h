#pragma once

// Shows a character device as a file, with a session for each opener, and beside it a directory of
// information: `.tpm0/info` and `.tpm0/counters` tell what the device says of itself, and
// `.tpm0/settings/…` hold what sessions begin with.

#include "driver/char_device.h"
#include "vfs/plugin.h"

namespace bulkhead::vfs {

/* The nodes for a device, which outlives them and their open files. Error: OUT_OF_MEMORY. */
Attempt<Made> show_char_device(Context const &, Char_device &, std::string_view name,
	Ownership const &, bool with_information = true);

class Char_device_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "char_device"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
