#pragma once

// Takes whatever is written and has nothing to read.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

class Null_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "null"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
