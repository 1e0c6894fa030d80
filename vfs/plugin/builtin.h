#pragma once

// The plugins that are built in.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

/* Those that need nothing of a host. */
std::span<Plugin const *const> builtin_plugins();

/* The plugin of a name among some, null if there is none. */
constexpr Plugin const *find_plugin(std::span<Plugin const *const> plugins, std::string_view name)
{
	for (Plugin const *const plugin : plugins)
		if (plugin->name() == name) return plugin;
	return nullptr;
}

} // namespace bulkhead::vfs
