#include "tool/system.h"

#include "vfs/plugin/builtin.h"

#include <algorithm>
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

constexpr vfs::Key FILE_KEYS[] = {
	{"plugin", vfs::Kind::TEXT, "what makes the file", true},
};

} // namespace

System::System(linux_host::Loop &loop, Manifest &manifest, Log log)
	: _manifest(manifest),
	  _loop(loop),
	  _log(log),
	  _workers(loop, WORKERS_MAX),
	  _offload(_workers, loop.executor()),
	  _hardware(loop, _workers, manifest)
{}

System::~System()
{
	_tree.reset();
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

void System::_check_file(Section const &section)
{
	std::string_view const name = section.text_of("plugin");
	vfs::Plugin const *const plugin = vfs::find_plugin(_plugins.all(), name);
	if (plugin) return section.check_keys(plugin->keys(), FILE_KEYS, _manifest.faults);
	if (!section.find("plugin")) {
		_manifest.faults.push_back(section.fault(
			"", fmt::format("'plugin' is missing in {}", section.heading), "add plugin = \"ram\""));
		return;
	}
	if (auto const text = section.text("plugin"); !text.ok()) {
		_manifest.faults.push_back(section.located(text.error()));
		return;
	}
	std::vector<vfs::Key> names;
	std::string list;
	for (vfs::Plugin const *const known : _plugins.all()) {
		names.push_back({known->name(), vfs::Kind::TEXT, ""});
		list += fmt::format("{}{}", list.empty() ? "" : ", ", known->name());
	}
	std::string remedy = suggestion(name, names);
	if (remedy.empty())
		remedy = "there are: " + list;
	else if (!remedy.starts_with("there are"))
		remedy += fmt::format(" (there are: {})", list);
	_manifest.faults.push_back(section.fault("plugin",
		fmt::format("unknown plugin '{}' in {}", name, section.heading), std::move(remedy)));
}

void System::_attach(Section const &section)
{
	vfs::Plugin const &plugin = *vfs::find_plugin(_plugins.all(), section.text_of("plugin"));
	vfs::Context const context{.allocator = _heap,
		.executor = _loop.executor(),
		.calendar = _calendar,
		.log = _log,
		.offload = &_offload,
		.devices = &_hardware,
		.uid = geteuid(),
		.gid = getegid()};
	Attempt<vfs::Made, vfs::Config_fault> made = vfs::make(plugin, section, context, FILE_KEYS);
	if (!made.ok()) {
		_manifest.faults.push_back(section.located(made.error()));
		return;
	}
	vfs::Made nodes = std::move(made).value();
	auto const attach = [&](std::string const &path, Ref<vfs::Node> node) {
		Attempt<void> const attached = _tree->attach(path, std::move(node));
		if (!attached.ok())
			_manifest.faults.push_back(section.fault("",
				fmt::format("{} can't be placed at {}: {}", section.heading, path,
					name_of(attached.error())),
				"choose another path"));
	};
	attach(section.name, std::move(nodes.node));
	if (!nodes.companion) return;
	size_t const slash = section.name.rfind('/') + 1;
	attach(section.name.substr(0, slash) + "." + section.name.substr(slash),
		std::move(nodes.companion));
}

void System::_build_tree()
{
	Attempt<vfs::Tree> tree = vfs::Tree::create(_heap, _calendar);
	if (!tree.ok()) {
		_manifest.faults.push_back({{}, std::string(name_of(tree.error())), ""});
		return;
	}
	_tree.emplace(std::move(tree).value());
	std::vector<Section const *> files;
	for (Section const &section : _manifest.files) files.push_back(&section);
	// A directory before what lies in it.
	std::ranges::sort(files, [](Section const *a, Section const *b) { return a->name < b->name; });
	for (Section const *const section : files) _attach(*section);
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
	for (Section const &section : _manifest.files) _check_file(section);
	if (!_manifest.faults.empty()) return;
	_hardware.describe();
	_build_tree();
}

std::optional<Trouble> System::start()
{
	_tree.reset();
	_hardware.forget();
	if (auto trouble = _hardware.start()) return trouble;
	_build_tree();
	return {};
}

} // namespace bulkhead::tool
