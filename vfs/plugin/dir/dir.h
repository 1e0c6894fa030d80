#pragma once

// A directory for what the manifest puts into it. One with default attributes is made by itself
// where a path needs it.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

class Dir_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "dir"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
