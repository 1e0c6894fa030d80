#pragma once

// What a plugin in a shared object exports: one C function that yields a description. The two sides
// share C++ classes, so they must be built from the same interface: the description holds its
// version and the sizes of what is passed between them.
//
//	BULKHEAD_VFS_PLUGIN(My_plugin)

#include "vfs/plugin.h"

namespace bulkhead::vfs {

/* Changes whenever a class that plugins see changes. */
inline constexpr uint32_t PLUGIN_ABI = 1;

struct Plugin_description
{
	// The first two members stay where they are for ever.
	uint32_t abi;
	uint32_t size; // of this description
	uint32_t node_size;
	uint32_t file_size;
	uint32_t stat_size;
	uint32_t job_size;
	uint32_t context_size;
	uint32_t config_fault_size;
	Plugin const *plugin;
};

constexpr Plugin_description describe_plugin(Plugin const *plugin)
{
	return {.abi = PLUGIN_ABI,
		.size = sizeof(Plugin_description),
		.node_size = sizeof(Node),
		.file_size = sizeof(File),
		.stat_size = sizeof(Stat),
		.job_size = sizeof(Job),
		.context_size = sizeof(Context),
		.config_fault_size = sizeof(Config_fault),
		.plugin = plugin};
}

/* The name of the function that the loader looks for, and its type. */
inline constexpr char PLUGIN_ENTRY_POINT[] = "bulkhead_vfs_plugin";
using Plugin_entry_point = Plugin_description const *();

} // namespace bulkhead::vfs

/* Exports a plugin; its class can be constructed at compile time. */
#define BULKHEAD_VFS_PLUGIN(PLUGIN) \
	extern "C" __attribute__((visibility("default"))) ::bulkhead::vfs::Plugin_description const * \
	bulkhead_vfs_plugin() \
	{ \
		static constinit PLUGIN const plugin{}; \
		static constinit ::bulkhead::vfs::Plugin_description const description = \
			::bulkhead::vfs::describe_plugin(&plugin); \
		return &description; \
	}
