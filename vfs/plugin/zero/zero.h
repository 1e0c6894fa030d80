#pragma once

// Reads as zeros without end and takes whatever is written.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

class Zero_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "zero"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
