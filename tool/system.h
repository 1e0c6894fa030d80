#pragma once

// A whole system as a manifest describes it: hardware, and the tree of files over it.

#include "base/log.h"
#include "platform/linux/heap.h"
#include "platform/linux/offload.h"
#include "sdk/host_system/file_tree.h"
#include "sdk/host_system/hardware.h"
#include "sdk/host_system/host_calendar.h"
#include "tool/host_wires.h"
#include "tool/outcome.h"
#include "vfs/plugin/loader.h"

namespace bulkhead::tool {

using host_system::Manifest;
using host_system::Section;

class System
{
private:
	Manifest &_manifest;
	linux_host::Loop &_loop;
	Log const _log;
	linux_host::Heap _heap{};
	host_system::Host_calendar _calendar{};
	linux_host::Worker_pool _workers;
	linux_host::Pool_offload _offload;
	vfs::Plugin_set _plugins{};
	Host_wires _wires;
	host_system::Hardware _hardware;
	host_system::File_tree _files;

	void _load_plugin(Section const &);

public:
	/* All of these outlive the system. */
	System(linux_host::Loop &loop, Manifest &manifest, Log log);
	~System();

	/*
	 * Loads plugins and checks the whole manifest, and adds all faults to the manifest's. If there
	 * are none, the tree is there afterwards, with stand-ins for the devices: no bus was touched.
	 */
	void describe();

	/* The same with devices that are driven. Faults go to the manifest, trouble is returned. */
	std::optional<Trouble> start();

	/* Only if the manifest has no faults. */
	vfs::Tree &tree() { return _files.tree(); }
};

/* How many requests may wait at a time if the manifest doesn't say. */
inline constexpr uint64_t REQUESTS_USUAL = 4096;

} // namespace bulkhead::tool
