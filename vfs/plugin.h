#pragma once

// What makes nodes: a plugin turns the settings of a manifest's entry into the root node of a file
// system, a file or a device. Plugins are built in (vfs/plugin/builtin.h) or come from shared
// objects (vfs/plugin/loader.h).

#include "base/allocator.h"
#include "base/job.h"
#include "base/log.h"
#include "base/offload.h"
#include "vfs/calendar.h"
#include "vfs/config.h"
#include "vfs/node.h"
#include "vfs/permission.h"

namespace bulkhead::vfs {

/* The devices that a manifest names, for the plugin that hosts them (vfs/plugin/char_device/). */
class Devices;

/* What a plugin may use. All of it outlives the nodes that are made. */
struct Context
{
	Allocator &allocator;
	Executor &executor;
	Calendar const &calendar;
	Log log = {};
	Offload *offload = nullptr; // null: nothing here can wait for a host
	Devices *devices = nullptr;
	uint32_t uid = 0; // whose the nodes are if the manifest doesn't say
	uint32_t gid = 0;
};

/* What an entry consists of. */
struct Made
{
	Ref<Node> node;
	Ref<Node> companion = {}; // placed beside the node, as `.name`; may be none
};

class Plugin
{
protected:
	~Plugin() = default;

public:
	virtual std::string_view name() const = 0;

	/* The keys that `create` looks at. */
	virtual std::span<Key const> keys() const { return {}; }

	/* Makes the nodes of an entry; its keys were checked before (`make`). Does not block. */
	virtual Attempt<Made, Config_fault> create(Config const &, Context const &) const = 0;
};

/*
 * Checks the keys of an entry, then has the plugin make it. `common` are keys that the reader of
 * the manifest uses itself, e.g. "plugin" and "path".
 */
inline Attempt<Made, Config_fault> make(Plugin const &plugin, Config const &config,
	Context const &context, std::span<Key const> common = {})
{
	TRY(config.check(plugin.keys(), common));
	return plugin.create(config, context);
}

} // namespace bulkhead::vfs
