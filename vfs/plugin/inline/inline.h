#pragma once

// A file whose text stands in the manifest.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

class Inline_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "inline"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
