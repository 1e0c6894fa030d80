#include "vfs/plugin/dir/dir.h"

#include "vfs/plugin/ownership.h"
#include "vfs/static_directory.h"

namespace bulkhead::vfs {

std::span<Key const> Dir_plugin::keys() const { return OWNERSHIP_KEYS; }

Attempt<Made, Config_fault> Dir_plugin::create(Config const &config, Context const &context) const
{
	Ownership const ownership = TRY(ownership_of(config, context, 0755));
	auto made = Static_directory::create(context.allocator, context.calendar, ownership);
	if (!made.ok()) return Config::fault("", made.error());
	return Made{std::move(made).value(), {}};
}

} // namespace bulkhead::vfs
