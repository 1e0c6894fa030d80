#include "vfs/plugin/loader.h"

#include "vfs/plugin/builtin.h"
#include "vfs/plugin/entry_point.h"

#include <dlfcn.h>

namespace bulkhead::vfs {

namespace {

Config_fault fault_of(std::string const &problem, std::string_view remedy)
{
	return Config::fault("path", "can't be used: " + problem, remedy);
}

constexpr std::string_view REBUILD = "build the plugin against this version of bulkhead";

} // namespace

Plugin_set::Plugin_set()
{
	std::span<Plugin const *const> const builtin = builtin_plugins();
	_plugins.assign(builtin.begin(), builtin.end());
	_plugins.push_back(&_host);
}

Plugin_set::~Plugin_set()
{
	for (void *const library : _libraries) dlclose(library);
}

Attempt<Plugin const *, Config_fault> Plugin_set::_check(
	void *library, std::string const &path) const
{
	void *const symbol = dlsym(library, PLUGIN_ENTRY_POINT);
	if (!symbol)
		return fault_of("'" + path + "' is no plugin: it has no " + PLUGIN_ENTRY_POINT,
			"export it with BULKHEAD_VFS_PLUGIN (vfs/plugin/entry_point.h)");
	Plugin_description const *const found = reinterpret_cast<Plugin_entry_point *>(symbol)();
	if (!found) return fault_of("'" + path + "' describes no plugin", REBUILD);
	if (found->abi != PLUGIN_ABI)
		return fault_of("'" + path + "' has plugin interface " + std::to_string(found->abi) +
				"; this program has " + std::to_string(PLUGIN_ABI),
			REBUILD);
	Plugin_description const own =
		describe_plugin(found->size == sizeof(*found) ? found->plugin : nullptr);
	if (!own.plugin || __builtin_memcmp(&own, found, sizeof(own)) != 0)
		return fault_of(
			"'" + path + "' was built with other sizes of the interface's types", REBUILD);
	if (find_plugin(_plugins, found->plugin->name()))
		return fault_of("'" + path + "' brings a plugin '" + std::string(found->plugin->name()) +
				"', and there is one already",
			"load it once, and give it a name of its own");
	return found->plugin;
}

Attempt<Plugin const *, Config_fault> Plugin_set::load(std::string const &path)
{
	if (_libraries.size() >= LOADED_MAX) return fault_of("too many plugins are loaded", {});
	// Without a slash the linker would search its own directories.
	std::string const file = path.find('/') == path.npos ? "./" + path : path;
	void *const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
	if (!library) return fault_of(dlerror(), "name a shared object that exists and can be loaded");
	auto const plugin = _check(library, path);
	if (!plugin.ok()) {
		dlclose(library);
		return plugin.error();
	}
	_libraries.push_back(library);
	_plugins.push_back(plugin.value());
	return plugin;
}

} // namespace bulkhead::vfs
