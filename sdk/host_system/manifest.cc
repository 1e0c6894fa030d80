#include "sdk/host_system/manifest.h"

#include "domain/manifest/toml.h"
#include "vfs/name.h"
#include "vfs/tree.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace bulkhead::host_system {

namespace {

using Type = vfs::Config_value::Type;
using domain::key_text;
using domain::Toml;

constexpr size_t SECTIONS_MAX = 4096;

constexpr vfs::Key SERVE_SECTIONS[] = {
	{"serve", vfs::Kind::TEXT, "how the tree is shown"},
	{"plugin", vfs::Kind::TEXT, "a plugin from a shared object"},
	{"bus", vfs::Kind::TEXT, "a way to chips"},
	{"device", vfs::Kind::TEXT, "a driver for one chip"},
	{"file", vfs::Kind::TEXT, "a node of the tree"},
};

constexpr vfs::Key COMPONENT_SECTIONS[] = {
	SERVE_SECTIONS[2],
	SERVE_SECTIONS[3],
	SERVE_SECTIONS[4],
	{"export", vfs::Kind::TEXT, "what other domains may have of the tree"},
};

Value value_of(Toml const &toml, unsigned depth = 0)
{
	Value value;
	switch (toml.type) {
	case Toml::Type::TEXT:
		value.type = Type::TEXT;
		value.text = toml.text;
		break;
	case Toml::Type::NUMBER:
		value.type = Type::NUMBER;
		value.number = toml.number;
		break;
	case Toml::Type::BOOLEAN:
		value.type = Type::BOOLEAN;
		value.boolean = toml.boolean;
		break;
	case Toml::Type::LIST:
		if (depth > 0) break;
		value.type = Type::LIST;
		for (Toml const &item : toml.items) value.items.push_back(value_of(item, depth + 1));
		break;
	case Toml::Type::TABLE:
	case Toml::Type::OTHER: break;
	}
	return value;
}

Section section_of(std::string heading, std::string name, Toml const &table)
{
	Section section{std::move(heading), std::move(name), table.at};
	for (Toml const &entry : table.items)
		section.settings.push_back({entry.key, entry.at, value_of(entry)});
	return section;
}

/* [[export.dev.client]] and the like are sections within, and no settings. */
void take_parts(Section &section, Toml const &table)
{
	for (Toml const &list : table.items) {
		auto const is_table = [](Toml const &item) { return item.type == Toml::Type::TABLE; };
		if (list.type != Toml::Type::LIST || list.items.empty() ||
			!std::ranges::all_of(list.items, is_table))
			continue;
		std::string_view const outer = std::string_view(section.heading);
		std::string const heading =
			fmt::format("[[{}.{}]]", outer.substr(1, outer.size() - 2), key_text(list.key));
		// The position of such a table is that of its heading, or brace.
		for (Toml const &part : list.items)
			section.parts.push_back(section_of(heading, list.key, part));
		std::erase_if(
			section.settings, [&](auto const &setting) { return setting.key == list.key; });
	}
}

class Reader
{
private:
	Manifest &_manifest;
	Audience const _audience;
	size_t _sections = 0;

	void _fault(Position at, std::string problem, std::string remedy = {})
	{
		_manifest.faults.push_back({at, std::move(problem), std::move(remedy)});
	}

	void _read_group(Toml const &group, std::vector<Section> &sections)
	{
		std::string const &kind = group.key;
		if (group.type != Toml::Type::TABLE)
			return _fault(group.at, fmt::format("'{}' is not a table", kind),
				fmt::format("begin each with a heading such as [{}.name]", kind));
		for (Toml const &entry : group.items) {
			std::string const heading = fmt::format("[{}.{}]", kind, key_text(entry.key));
			if (entry.type != Toml::Type::TABLE) {
				_fault(entry.at,
					fmt::format("'{}' doesn't belong in [{}]", printable(entry.key), kind),
					fmt::format("begin a table: {}", printable(heading)));
				continue;
			}
			if (++_sections > SECTIONS_MAX) continue;
			sections.push_back(section_of(heading, entry.key, entry));
			if (kind == "export") take_parts(sections.back(), entry);
		}
	}

	/* Paths without superfluous slashes, and none that can't be names. */
	bool _check_path(Section &file)
	{
		if (!file.name.starts_with('/')) {
			_fault(file.at, fmt::format("'{}' is not an absolute path", printable(file.name)),
				fmt::format("write [file.\"/{}\"]", printable(file.name)));
			return false;
		}
		Path_problem problem = tidy_path(file.name);
		if (problem.problem.empty()) return true;
		_fault(file.at, std::move(problem.problem), std::move(problem.remedy));
		return false;
	}

	void _check_paths()
	{
		std::map<std::string_view, Section const *> seen;
		for (Section &file : _manifest.files) {
			if (!_check_path(file)) continue;
			auto const [position, added] = seen.try_emplace(file.name, &file);
			if (!added)
				_fault(file.at, fmt::format("{} is there twice", printable(file.heading)),
					fmt::format("the first one is in line {}", position->second->at.line));
		}
		for (auto const &[path, file] : seen) {
			if (path == "/") continue;
			for (size_t slash = path.rfind('/');; slash = path.rfind('/', slash - 1)) {
				auto const above = seen.find(slash ? path.substr(0, slash) : "/");
				if (above != seen.end() && above->second->text_of("plugin") != "dir")
					_fault(file->at,
						fmt::format("{} lies below {}, which has entries of its own",
							printable(file->heading), printable(above->second->heading)),
						"choose another path for one of them");
				if (slash == 0) break;
			}
		}
	}

	void _read_serve(Toml const &table)
	{
		if (table.type == Toml::Type::TABLE)
			_manifest.serve = section_of("[serve]", "", table);
		else
			_fault(table.at, "'serve' is not a table", "begin it with the heading [serve]");
	}

public:
	Reader(Manifest &manifest, Audience audience) : _manifest(manifest), _audience(audience) {}

	void read(Toml const &root)
	{
		bool const serve = _audience == Audience::SERVE;
		for (Toml const &entry : root.items) {
			std::string_view const name = entry.key;
			Position const at = entry.at;
			if (name == "serve" && serve)
				_read_serve(entry);
			else if (name == "bus")
				_read_group(entry, _manifest.buses);
			else if (name == "device")
				_read_group(entry, _manifest.devices);
			else if (name == "plugin" && serve)
				_read_group(entry, _manifest.plugins);
			else if (name == "file")
				_read_group(entry, _manifest.files);
			else if (name == "export" && !serve)
				_read_group(entry, _manifest.exports);
			else if (name == "plugin")
				_fault(at, "a component loads no plugins from shared objects",
					"use those that are built in, or `bulkhead serve`");
			else if (serve)
				_fault(at, fmt::format("unknown section '{}'", printable(name)),
					suggestion(name, SERVE_SECTIONS));
			else
				_fault(at, fmt::format("unknown section '{}'", printable(name)),
					suggestion(name, COMPONENT_SECTIONS));
		}
		if (_sections > SECTIONS_MAX)
			_fault({}, fmt::format("more than {} sections", SECTIONS_MAX));
		_check_paths();
	}
};

} // namespace

vfs::Config_value Value::view() const
{
	return {
		.type = type, .text = text, .number = number, .boolean = boolean, .items = items.size()};
}

Section::Setting const *Section::find(std::string_view key) const
{
	auto const found = std::ranges::find(settings, key, &Setting::key);
	return found == settings.end() ? nullptr : &*found;
}

std::string_view Section::text_of(std::string_view key) const
{
	Setting const *const setting = find(key);
	return setting && setting->value.type == Type::TEXT ? setting->value.text : std::string_view();
}

Position Section::position_of(std::string_view key) const
{
	Setting const *const setting = find(key);
	return setting ? setting->at : at;
}

Fault Section::located(vfs::Config_fault const &fault) const
{
	std::string_view const key = fault.key.view();
	std::string subject = heading;
	if (!key.empty()) subject = fmt::format("'{}' in {}", printable(key), printable(heading));
	return {position_of(key), fmt::format("{} {}", subject, fault.problem.view()),
		std::string(fault.remedy.view())};
}

Fault Section::fault(std::string_view key, std::string problem, std::string remedy) const
{
	return {position_of(key), std::move(problem), std::move(remedy)};
}

void Section::check_keys(std::span<vfs::Key const> known, std::span<vfs::Key const> common,
	std::vector<Fault> &faults) const
{
	auto const is_known = [&](std::string_view key) {
		return std::ranges::find(known, key, &vfs::Key::name) != known.end() ||
			std::ranges::find(common, key, &vfs::Key::name) != common.end();
	};
	for (Setting const &setting : settings) {
		if (is_known(setting.key)) continue;
		std::vector<vfs::Key> all(known.begin(), known.end());
		all.insert(all.end(), common.begin(), common.end());
		faults.push_back({setting.at,
			fmt::format("unknown key '{}' in {}", printable(setting.key), printable(heading)),
			suggestion(setting.key, all)});
	}
	for (auto const &keys : {known, common})
		for (vfs::Key const &key : keys)
			if (key.required && !find(key.name))
				faults.push_back(
					{at, fmt::format("'{}' is missing in {}", key.name, printable(heading)),
						fmt::format("add {} = …: {}", key.name, key.help)});
}

vfs::Config_value Section::value(std::string_view key) const
{
	Setting const *const setting = find(key);
	return setting ? setting->value.view() : vfs::Config_value{};
}

vfs::Config_value Section::item(std::string_view key, size_t index) const
{
	Setting const *const setting = find(key);
	if (!setting || index >= setting->value.items.size()) return {};
	return setting->value.items[index].view();
}

std::string_view Section::key(size_t index) const
{
	return index < settings.size() ? settings[index].key : std::string_view();
}

Section const *Manifest::find(std::vector<Section> const &sections, std::string_view name)
{
	auto const found = std::ranges::find(sections, name, &Section::name);
	return found == sections.end() ? nullptr : &*found;
}

std::string Manifest::describe(Fault const &fault) const
{
	return domain::describe(path, text, fault);
}

std::string Manifest::describe_faults() const
{
	return domain::describe_faults(path, text, faults);
}

std::string suggestion(std::string_view wrong, std::span<vfs::Key const> known)
{
	std::vector<std::string_view> names;
	for (vfs::Key const &key : known) names.push_back(key.name);
	return domain::suggestion(wrong, names);
}

std::vector<vfs::Key> names_of(std::vector<Section> const &sections)
{
	std::vector<vfs::Key> names;
	for (Section const &known : sections) names.push_back({known.name, vfs::Kind::TEXT, ""});
	return names;
}

Path_problem tidy_path(std::string &given)
{
	std::string_view rest = given;
	std::string path;
	while (!rest.empty()) {
		rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
		if (rest.empty()) break;
		std::string_view const name = rest.substr(0, rest.find('/'));
		rest.remove_prefix(name.size());
		if (!vfs::valid_name(name))
			return {fmt::format("'{}' can't be the name of a file", printable(name)),
				"a name has 1 to 255 bytes and isn't '.' or '..'"};
		path.append("/").append(name);
	}
	bool const fits = path.size() <= vfs::PATH_MAX_BYTES &&
		std::ranges::count(path, '/') <= static_cast<ptrdiff_t>(vfs::DEPTH_MAX);
	given = path.empty() ? "/" : path;
	if (fits) return {};
	return {"the path is too long or too deep", ""};
}

Manifest parse_manifest(std::string path, std::string text, Audience audience)
{
	Manifest manifest{.path = std::move(path), .text = std::move(text)};
	std::optional<Toml> const root = domain::read_toml(manifest.text, manifest.faults);
	if (root) Reader(manifest, audience).read(*root);
	return manifest;
}

Manifest read_manifest(std::string const &path)
{
	std::string why;
	std::optional<std::string> text = domain::read_text_file(path, why);
	if (text) return parse_manifest(path, std::move(*text));
	Manifest manifest{.path = path};
	manifest.faults.push_back({{}, fmt::format("can't be read: {}", why), ""});
	return manifest;
}

} // namespace bulkhead::host_system
