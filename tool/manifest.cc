#include "tool/manifest.h"

#include "base/format.h"
#include "vfs/name.h"
#include "vfs/tree.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

// The parser reports by values, and is compiled here only. Its assertions stay assertions.
#undef NDEBUG
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 32
#include <toml++/toml.h>

namespace bulkhead::tool {

namespace {

using Type = vfs::Config_value::Type;

constexpr size_t SECTIONS_MAX = 4096;
constexpr size_t LINE_SHOWN_MAX = 160;

constexpr vfs::Key SECTION_NAMES[] = {
	{"serve", vfs::Kind::TEXT, "how the tree is shown"},
	{"plugin", vfs::Kind::TEXT, "a plugin from a shared object"},
	{"bus", vfs::Kind::TEXT, "a way to chips"},
	{"device", vfs::Kind::TEXT, "a driver for one chip"},
	{"file", vfs::Kind::TEXT, "a node of the tree"},
};

/* A configuration of a single key, to have it looked at on its own. */
class One_key final : public vfs::Config
{
private:
	std::string_view _key;
	vfs::Config_value _value;

public:
	One_key(std::string_view key, vfs::Config_value value) : _key(key), _value(value) {}

	vfs::Config_value value(std::string_view key) const override
	{
		return key == _key ? _value : vfs::Config_value{};
	}
	vfs::Config_value item(std::string_view, size_t) const override { return {}; }
	std::string_view key(size_t index) const override { return index ? "" : _key; }
};

Position position_of(toml::source_region const &region)
{
	return {region.begin.line, region.begin.column};
}

/* A name as TOML has it: in quotes where it needs them. */
std::string key_text(std::string_view name)
{
	bool const bare = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			c == '-' || c == '_';
	});
	return bare ? std::string(name) : fmt::format("\"{}\"", name);
}

/* What is shown of a text of unknown origin: no control characters, not too long. */
std::string printable(std::string_view text)
{
	std::string result;
	for (char const c : text.substr(0, LINE_SHOWN_MAX)) {
		unsigned char const byte = static_cast<unsigned char>(c);
		result += byte < ' ' || byte == 0x7f ? (c == '\t' ? '\t' : '?') : c;
	}
	return result;
}

Value value_of(toml::node const &node, unsigned depth = 0)
{
	Value value;
	if (auto const *text = node.as_string()) {
		value.type = Type::TEXT;
		value.text = text->get();
	} else if (auto const *number = node.as_integer()) {
		value.type = Type::NUMBER;
		value.number = number->get();
	} else if (auto const *boolean = node.as_boolean()) {
		value.type = Type::BOOLEAN;
		value.boolean = boolean->get();
	} else if (auto const *list = node.as_array(); list && depth == 0) {
		value.type = Type::LIST;
		for (toml::node const &item : *list) value.items.push_back(value_of(item, depth + 1));
	}
	return value;
}

Section section_of(std::string heading, std::string name, Position at, toml::table const &table)
{
	Section section{std::move(heading), std::move(name), at};
	for (auto const &[key, node] : table)
		section.settings.push_back(
			{std::string(key.str()), position_of(key.source()), value_of(node)});
	std::ranges::sort(section.settings, [](auto const &a, auto const &b) {
		return std::pair(a.at.line, a.at.column) < std::pair(b.at.line, b.at.column);
	});
	return section;
}

/*
 * Finds what toml++ 3.3 must not see outside of strings and comments: characters beyond ASCII (its
 * `is_non_ascii_horizontal_whitespace` ends in a path that it declares unreachable), and headings
 * that don't begin with a key (which it asserts). Both agree on where strings and lists end as far
 * as a text is well-formed, and the parser looks no further than that.
 */
class Bare_text
{
private:
	std::string_view const _text;
	size_t _at = 0;

	bool _skip(std::string_view what)
	{
		if (!_text.substr(_at).starts_with(what)) return false;
		_at += what.size();
		return true;
	}

	void _skip_string(char quote)
	{
		std::string const three(3, quote);
		bool const many = _skip(three);
		if (!many) ++_at;
		while (_at < _text.size()) {
			if (quote == '"' && _text[_at] == '\\') {
				_at += 2;
			} else if (!many && _text[_at] == '\n') {
				return;
			} else if (many ? _skip(three) : _text[_at] == quote) {
				if (!many) ++_at;
				// A string of several lines may have two more quotes at its end.
				for (unsigned i = 0; many && i < 2; ++i) (void)_skip({&quote, 1});
				return;
			} else
				++_at;
		}
	}

	/* From the first bracket of a heading to its key; false if none follows. */
	bool _skip_heading_to_key()
	{
		for (unsigned i = 0; i < 2; ++i) {
			(void)_skip("[");
			while (_skip(" ") || _skip("\t")) {}
		}
		if (_at >= _text.size()) return true; // the parser knows what to say
		char const c = _text[_at];
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			c == '-' || c == '_' || c == '"' || c == '\'' || c == ']' || (c & 0x80);
	}

	Position _position() const
	{
		std::string_view const before = _text.substr(0, _at);
		size_t const line = before.rfind('\n') + 1; // npos + 1 is 0
		auto const characters =
			std::ranges::count_if(before.substr(line), [](char c) { return (c & 0xc0) != 0x80; });
		return {static_cast<unsigned>(std::ranges::count(before, '\n')) + 1,
			static_cast<unsigned>(characters) + 1};
	}

public:
	explicit Bare_text(std::string_view text) : _text(text) { (void)_skip("\xef\xbb\xbf"); }

	std::optional<Fault> find()
	{
		int depth = 0; // of lists and inline tables
		bool line_begins = true;
		for (; _at < _text.size();) {
			char const c = _text[_at];
			if (c & 0x80)
				return Fault{_position(), "a character that may stand in quotes only",
					"put the key or text into quotes"};
			if (c == '[' && line_begins && depth == 0) {
				if (!_skip_heading_to_key())
					return Fault{_position(), "a heading needs a name", "write [section.name]"};
				line_begins = false;
				continue;
			}
			line_begins = c == '\n' || (line_begins && (c == ' ' || c == '\t'));
			if (c == '[' || c == '{') ++depth;
			if ((c == ']' || c == '}') && depth) --depth;
			if (c == '#')
				_at = std::min(_text.find('\n', _at), _text.size());
			else if (c == '"' || c == '\'')
				_skip_string(c);
			else
				++_at;
		}
		return {};
	}
};

class Reader
{
private:
	Manifest &_manifest;
	size_t _sections = 0;

	void _fault(Position at, std::string problem, std::string remedy = {})
	{
		_manifest.faults.push_back({at, std::move(problem), std::move(remedy)});
	}

	void _read_group(
		std::string_view kind, Position at, toml::node const &node, std::vector<Section> &sections)
	{
		toml::table const *const group = node.as_table();
		if (!group)
			return _fault(at, fmt::format("'{}' is not a table", kind),
				fmt::format("begin each with a heading such as [{}.name]", kind));
		for (auto const &[key, entry] : *group) {
			std::string const name(key.str());
			std::string const heading = fmt::format("[{}.{}]", kind, key_text(name));
			toml::table const *const table = entry.as_table();
			if (!table) {
				_fault(position_of(key.source()),
					fmt::format("'{}' doesn't belong into [{}]", printable(name), kind),
					fmt::format("begin a table: {}", printable(heading)));
				continue;
			}
			if (++_sections > SECTIONS_MAX) continue;
			sections.push_back(section_of(heading, name, position_of(key.source()), *table));
		}
		std::ranges::sort(
			sections, [](auto const &a, auto const &b) { return a.at.line < b.at.line; });
	}

	/* Paths without superfluous slashes, and none that can't be names. */
	bool _check_path(Section &file)
	{
		std::string_view rest = file.name;
		std::string path;
		if (!rest.starts_with('/')) {
			_fault(file.at, fmt::format("'{}' is not an absolute path", printable(rest)),
				fmt::format("write [file.\"/{}\"]", printable(rest)));
			return false;
		}
		while (!rest.empty()) {
			rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
			if (rest.empty()) break;
			std::string_view const name = rest.substr(0, rest.find('/'));
			rest.remove_prefix(name.size());
			if (!vfs::valid_name(name)) {
				_fault(file.at, fmt::format("'{}' can't be the name of a file", printable(name)),
					"a name has 1 to 255 bytes and isn't '.' or '..'");
				return false;
			}
			path.append("/").append(name);
		}
		file.name = path.empty() ? "/" : path;
		if (path.size() <= vfs::PATH_MAX_BYTES &&
			std::ranges::count(path, '/') <= static_cast<ptrdiff_t>(vfs::DEPTH_MAX))
			return true;
		_fault(file.at, "the path is too long or too deep");
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
			for (size_t slash = path.rfind('/'); slash != 0 && slash != std::string_view::npos;
				slash = path.rfind('/', slash - 1)) {
				auto const above = seen.find(path.substr(0, slash));
				if (above != seen.end() && above->second->text_of("plugin") != "dir")
					_fault(file->at,
						fmt::format("{} lies below {}, which has entries of its own",
							printable(file->heading), printable(above->second->heading)),
						"choose another path for one of them");
			}
		}
	}

public:
	explicit Reader(Manifest &manifest) : _manifest(manifest) {}

	void read(toml::table const &root)
	{
		for (auto const &[key, node] : root) {
			std::string_view const name = key.str();
			Position const at = position_of(key.source());
			if (name == "serve") {
				if (toml::table const *const table = node.as_table())
					_manifest.serve = section_of("[serve]", "", at, *table);
				else
					_fault(at, "'serve' is not a table", "begin it with the heading [serve]");
			} else if (name == "bus")
				_read_group(name, at, node, _manifest.buses);
			else if (name == "device")
				_read_group(name, at, node, _manifest.devices);
			else if (name == "file")
				_read_group(name, at, node, _manifest.files);
			else
				_fault(at, fmt::format("unknown section '{}'", printable(name)),
					suggestion(name, SECTION_NAMES));
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
	std::string result = path;
	if (fault.at.line) result += fmt::format(":{}:{}", fault.at.line, fault.at.column);
	result += ": " + fault.problem;
	if (!fault.remedy.empty()) result += "; " + fault.remedy;
	result += '\n';
	if (!fault.at.line) return result;
	std::string_view rest = text;
	for (unsigned line = 1; line < fault.at.line && !rest.empty(); ++line)
		rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
	std::string_view const line = rest.substr(0, rest.find('\n'));
	std::string const shown = printable(line);
	std::string mark;
	// The column counts characters, of which the continuing bytes are no part.
	unsigned column = 1;
	for (char const c : shown) {
		if (column >= fault.at.column) break;
		if ((c & 0xc0) == 0x80) continue;
		mark += c == '\t' ? '\t' : ' ';
		++column;
	}
	return result + fmt::format("{:>5} | {}\n      | {}^\n", fault.at.line, shown, mark);
}

std::string Manifest::describe_faults() const
{
	std::vector<Fault const *> ordered;
	for (Fault const &fault : faults) ordered.push_back(&fault);
	std::ranges::sort(ordered, [](Fault const *a, Fault const *b) {
		return std::tuple(a->at.line, a->at.column, a) < std::tuple(b->at.line, b->at.column, b);
	});
	std::string result;
	for (Fault const *const fault : ordered) result += describe(*fault);
	return result;
}

std::string suggestion(std::string_view wrong, std::span<vfs::Key const> known)
{
	One_key const config(wrong, {.type = Type::TEXT, .text = wrong});
	std::vector<vfs::Key> optional(known.begin(), known.end());
	for (vfs::Key &key : optional) key.required = false;
	Attempt<void, vfs::Config_fault> const checked = config.check(optional);
	return checked.ok() ? std::string() : std::string(checked.error().remedy.view());
}

Manifest parse_manifest(std::string path, std::string text)
{
	Manifest manifest{.path = std::move(path), .text = std::move(text)};
	if (manifest.text.size() > MANIFEST_MAX) {
		manifest.text.clear();
		manifest.faults.push_back({{}, "is larger than 1 MiB", "a manifest is a short text"});
		return manifest;
	}
	if (auto fault = Bare_text(manifest.text).find()) {
		manifest.faults.push_back(std::move(*fault));
		return manifest;
	}
	toml::parse_result const parsed = toml::parse(manifest.text, manifest.path);
	if (!parsed) {
		toml::parse_error const &error = parsed.error();
		manifest.faults.push_back(
			{position_of(error.source()), printable(error.description()), ""});
		return manifest;
	}
	Reader(manifest).read(parsed.table());
	return manifest;
}

Manifest read_manifest(std::string const &path)
{
	auto const unreadable = [&](int error_number) {
		Manifest manifest{.path = path};
		manifest.faults.push_back(
			{{}, fmt::format("can't be read: {}", strerror(error_number)), ""});
		return manifest;
	};
	int const fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
	if (fd < 0) return unreadable(errno);
	std::string text;
	char buffer[16384];
	ssize_t size = 0;
	while (text.size() <= MANIFEST_MAX && (size = read(fd, buffer, sizeof buffer)) > 0)
		text.append(buffer, static_cast<size_t>(size));
	int const error_number = errno;
	close(fd);
	if (size < 0) return unreadable(error_number);
	return parse_manifest(path, std::move(text));
}

} // namespace bulkhead::tool
