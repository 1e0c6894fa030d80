#pragma once

// The component as a whole: reads what it is configured with, starts the hardware, builds the tree,
// serves the exports.

#include "component/files/file_service.h"
#include "component/files/given_wires.h"
#include "platform/linux/heap.h"
#include "sdk/host_system/file_tree.h"
#include "sdk/host_system/hardware.h"
#include "sdk/host_system/host_calendar.h"

namespace bulkhead::files {

/* The devices, each behind a guard for addresses. */
class Guarded_devices final : public vfs::Devices
{
private:
	host_system::Hardware &_hardware;
	Allocator &_allocator;
	Address_policy const &_policy;
	std::map<std::string, Address_guard, std::less<>> _guards{};

public:
	Guarded_devices(
		host_system::Hardware &hardware, Allocator &allocator, Address_policy const &policy)
		: _hardware(hardware), _allocator(allocator), _policy(policy)
	{}

	Char_device *find(std::string_view name) override;
	std::string_view name(size_t index) const override { return _hardware.name(index); }
};

class Files
{
private:
	component::Env &_env;
	Log const _log;
	linux_host::Heap _heap{};
	host_system::Host_calendar _calendar{};
	host_system::Manifest _manifest;
	Exports _exports;
	Given_wires _wires;
	host_system::Hardware _hardware;
	Guarded_devices _devices;
	host_system::File_tree _files;
	File_service _service;

	bool _check();
	bool _make();
	void _place(Export &);
	bool _report();

public:
	/* The environment has started, and outlives this. */
	explicit Files(component::Env &env);
	~Files();

	/* Whether all is ready to be served; what is wrong is on the log. Waits for devices. */
	bool start();

	/* Serves; the exit code. */
	int run() { return _env.run(); }
};

} // namespace bulkhead::files
