#pragma once

// All plugins of a program on Linux: those that are built in, `host`, and those that are loaded
// from shared objects.

#include "vfs/plugin/host/host.h"

#include <string>
#include <vector>

namespace bulkhead::vfs {

class Plugin_set
{
public:
	/* The most shared objects that are loaded. */
	static constexpr size_t LOADED_MAX = 32;

private:
	Host_plugin const _host{};
	std::vector<Plugin const *> _plugins{};
	std::vector<void *> _libraries{};

	Attempt<Plugin const *, Config_fault> _check(void *library, std::string const &path) const;

public:
	Plugin_set();
	Plugin_set(Plugin_set const &) = delete;
	Plugin_set &operator=(Plugin_set const &) = delete;

	/* Unloads what was loaded: no node of it is left. */
	~Plugin_set();

	/*
	 * Adds the plugin of a shared object. Its code is trusted like the program's own: it runs
	 * before anything can be checked. May block. The fault says what is wrong with the file, and
	 * its key is "path".
	 */
	Attempt<Plugin const *, Config_fault> load(std::string const &path);

	std::span<Plugin const *const> all() const { return _plugins; }
};

} // namespace bulkhead::vfs
