#include "sdk/host_system/file_tree.h"

#include "vfs/plugin/builtin.h"

#include <algorithm>
#include <fmt/format.h>

namespace bulkhead::host_system {

using Plugins = std::span<vfs::Plugin const *const>;

static constexpr vfs::Key FILE_KEYS[] = {
	{"plugin", vfs::Kind::TEXT, "what makes the file", true},
};

void File_tree::_check(Section const &section, Plugins plugins)
{
	std::string_view const name = section.text_of("plugin");
	vfs::Plugin const *const plugin = vfs::find_plugin(plugins, name);
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
	for (vfs::Plugin const *const known : plugins) {
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

void File_tree::_attach(Section const &section, Plugins plugins)
{
	vfs::Plugin const &plugin = *vfs::find_plugin(plugins, section.text_of("plugin"));
	Attempt<vfs::Made, vfs::Config_fault> made = vfs::make(plugin, section, _context, FILE_KEYS);
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

void File_tree::check(Plugins plugins)
{
	for (Section const &section : _manifest.files) _check(section, plugins);
}

void File_tree::build(Plugins plugins)
{
	Attempt<vfs::Tree> tree = vfs::Tree::create(_context.allocator, _context.calendar);
	if (!tree.ok()) {
		_manifest.faults.push_back({{}, std::string(name_of(tree.error())), ""});
		return;
	}
	_tree.emplace(std::move(tree).value());
	std::vector<Section const *> files;
	for (Section const &section : _manifest.files) files.push_back(&section);
	// A directory before what lies in it.
	std::ranges::sort(files, [](Section const *a, Section const *b) { return a->name < b->name; });
	for (Section const *const section : files) _attach(*section, plugins);
}

} // namespace bulkhead::host_system
