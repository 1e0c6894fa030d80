#include "tool/system.h"

#include <fmt/format.h>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

constexpr vfs::Key SERVE_KEYS[] = {
	{"mount", vfs::Kind::TEXT, "the directory to mount the tree at"},
	{"allow_other", vfs::Kind::BOOLEAN, "whether other users see it"},
	{"requests_max", vfs::Kind::NUMBER, "how many requests may wait at a time"},
};

constexpr uint64_t REQUESTS_LEAST = 16;
constexpr uint64_t REQUESTS_MOST = 65536;

constexpr unsigned WORKERS_MAX = 8;
constexpr uint64_t CLOSE_US = 2'000'000;

constexpr vfs::Key PLUGIN_KEYS[] = {{"path", vfs::Kind::TEXT, "the shared object", true}};

} // namespace

System::System(linux_host::Loop &loop, Manifest &manifest, Log log)
	: _manifest(manifest),
	  _loop(loop),
	  _log(log),
	  _workers(loop, WORKERS_MAX),
	  _offload(_workers, loop.executor()),
	  _wires(_workers),
	  _hardware(loop, _wires, manifest),
	  _files(manifest,
		  {.allocator = _heap,
			  .executor = loop.executor(),
			  .calendar = _calendar,
			  .log = _log,
			  .offload = &_offload,
			  .devices = &_hardware,
			  .uid = geteuid(),
			  .gid = getegid()})
{}

System::~System()
{
	_files.drop();
	// Files of the host are closed by the workers. One that hangs is left to the end of the
	// process.
	uint64_t const until_us = deadline_after_us(_loop.clock().now_us(), CLOSE_US);
	while (_offload.busy() && _loop.clock().now_us() < until_us)
		if (!_loop.executor().run_ready()) _loop.poll(until_us);
}

void System::_load_plugin(Section const &section)
{
	size_t const before = _manifest.faults.size();
	section.check_keys(PLUGIN_KEYS, {}, _manifest.faults);
	auto const path = section.text("path");
	if (!path.ok()) _manifest.faults.push_back(section.located(path.error()));
	if (_manifest.faults.size() != before) return;
	auto const loaded = _plugins.load(std::string(path.value()));
	if (!loaded.ok())
		_manifest.faults.push_back(section.located(loaded.error()));
	else if (loaded.value()->name() != section.name)
		_manifest.faults.push_back(section.fault("path",
			fmt::format("{} is the plugin '{}'", path.value(), loaded.value()->name()),
			fmt::format("call the section [plugin.{}]", loaded.value()->name())));
}

void System::describe()
{
	Section const &serve = _manifest.serve;
	auto const note = [&](auto const &checked) {
		if (!checked.ok()) _manifest.faults.push_back(serve.located(checked.error()));
	};
	serve.check_keys(SERVE_KEYS, {}, _manifest.faults);
	note(serve.text("mount"));
	note(serve.boolean("allow_other", false));
	note(serve.number("requests_max", REQUESTS_USUAL, REQUESTS_LEAST, REQUESTS_MOST));
	for (Section const &section : _manifest.plugins) _load_plugin(section);
	_hardware.check();
	_files.check(_plugins.all());
	if (!_manifest.faults.empty()) return;
	_hardware.describe();
	_files.build(_plugins.all());
}

std::optional<Trouble> System::start()
{
	_files.drop();
	_hardware.forget();
	if (auto const trouble = _hardware.start())
		return Trouble{Exit::DEVICE, trouble->what, trouble->remedy};
	_files.build(_plugins.all());
	return {};
}

} // namespace bulkhead::tool
