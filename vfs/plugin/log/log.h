#pragma once

// A device that passes each line written to it on to the log. Lines that are longer than
// `LOG_LINE_MAX` go there in pieces; what is no printable character is replaced, so that nobody
// forges or hides messages.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

/* The longest piece of a line that becomes one message, in bytes. */
inline constexpr size_t LOG_LINE_MAX = 200;

class Log_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "log"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
