#include "component/files/files.h"

#include "base/sync_wait.h"
#include "vfs/plugin/builtin.h"

#include <fmt/format.h>
#include <unistd.h>

namespace bulkhead::files {

namespace {

constexpr size_t ARENA_BYTES = 16384;

// Who looks up what is served; outlives all tasks that it is handed to.
constexpr Credentials USER_0{};

/* A text of several lines, as lines of the log. */
void log_lines(Log const &log, std::string_view text)
{
	while (!text.empty()) {
		size_t const end = std::min(text.find('\n'), text.size());
		log.error(text.substr(0, end));
		text.remove_prefix(std::min(end + 1, text.size()));
	}
}

} // namespace

Char_device *Guarded_devices::find(std::string_view name)
{
	if (auto const known = _guards.find(name); known != _guards.end()) return &known->second;
	Char_device *const device = _hardware.find(name);
	if (!device) return nullptr;
	return &_guards
				.emplace(std::piecewise_construct, std::forward_as_tuple(name),
					std::forward_as_tuple(*device, _allocator, _policy))
				.first->second;
}

Files::Files(component::Env &env)
	: _env(env),
	  _log(env.log()),
	  _manifest(host_system::parse_manifest(fmt::format("config of {}", env.name()),
		  std::string(env.config()), host_system::Audience::COMPONENT)),
	  _exports(_manifest, _log),
	  _wires(env),
	  _hardware(env.loop(), _wires, _manifest, &_exports),
	  _devices(_hardware, _heap, _exports),
	  _files(_manifest,
		  {.allocator = _heap,
			  .executor = env.loop().executor(),
			  .calendar = _calendar,
			  .log = _log,
			  .devices = &_devices,
			  .uid = geteuid(),
			  .gid = getegid()}),
	  _service(env.loop().executor(), _exports, _log)
{}

Files::~Files()
{
	// Views stand on nodes, nodes on devices.
	for (auto &[name, of] : _exports.all())
		for (Client_rule &rule : of.clients) rule.root.reset();
	_files.drop();
}

bool Files::_report()
{
	if (_manifest.faults.empty()) return true;
	log_lines(_log, _manifest.describe_faults());
	return false;
}

bool Files::_check()
{
	for (host_system::Section const &file : _manifest.files)
		if (file.text_of("plugin") == "host")
			_manifest.faults.push_back(file.fault("plugin",
				"the plugin 'host' isn't there: a component has no files of a host",
				"use `bulkhead serve`, or put the content here: plugin = \"inline\""));
	// One fault for one mistake.
	if (_manifest.faults.empty()) {
		_exports.read();
		_hardware.check();
		_files.check(vfs::builtin_plugins());
	}
	return _report();
}

/* What each client of an export sees. */
void Files::_place(Export &of)
{
	auto const fault = [&](std::string_view key, std::string problem, std::string remedy) {
		_manifest.faults.push_back(of.section->fault(key, std::move(problem), std::move(remedy)));
	};
	Job_with_arena<ARENA_BYTES> job(_env.loop().executor());
	Attempt<Ref<vfs::Node>> const found =
		sync_wait(job, _files.tree().resolve(job, USER_0, of.path), _env.loop());
	if (!found.ok())
		return fault("path",
			fmt::format("{}: {}", host_system::printable(of.path), name_of(found.error())),
			"describe a [file.\"/…\"] there, or below it");
	if (found.value()->type() != vfs::Type::DIRECTORY)
		return fault("path", fmt::format("{} is no directory", host_system::printable(of.path)),
			"serve the one that it is in, with nodes = [\"…\"]");
	Attempt<Ref<vfs::Node>> const all = remote::restricted(found.value(), of.seen);
	if (!all.ok())
		return fault("nodes", fmt::format("'nodes' can't be used: {}", name_of(all.error())),
			"write at most 64 paths such as \"/tpm0\"");
	for (Client_rule &rule : of.clients) {
		Attempt<Ref<vfs::Node>> view = remote::restricted(all.value(), rule.seen);
		if (!view.ok())
			return fault("",
				fmt::format(
					"'nodes' of client '{}' can't be used: {}", rule.client, name_of(view.error())),
				"write at most 64 paths such as \"/tpm0\"");
		rule.root = std::move(view).value();
	}
}

bool Files::_make()
{
	if (auto const trouble = _hardware.start()) {
		log_lines(_log, trouble->what);
		if (!trouble->remedy.empty()) log_lines(_log, "try: " + trouble->remedy);
		return false;
	}
	_files.build(vfs::builtin_plugins());
	if (!_report()) return false;
	for (auto &[name, of] : _exports.all()) _place(of);
	return _report();
}

bool Files::start()
{
	if (!_check() || !_make()) return false;
	_env.serve(FILE_SERVICE, _service);
	return true;
}

} // namespace bulkhead::files
