#include "tool/show.h"

#include "base/sync_wait.h"
#include "tool/report.h"
#include "tool/system.h"
#include "vfs/fuse/mount_point.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <sys/stat.h>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;
using host_system::printable;
namespace fs = std::filesystem;

// Who looks at a manifest's tree; outlives all tasks that it is handed to.
constexpr Credentials USER_0{};

constexpr size_t ARENA_BYTES = 16384;
constexpr size_t INFORMATION_MAX = 64 * 1024;

int done() { return static_cast<int>(Exit::OK); }

/* Bytes that are no UTF-8 are replaced: names may be anything. */
void print_json(Json const &json)
{
	fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

std::string_view name_of(vfs::Type type)
{
	switch (type) {
	case vfs::Type::FILE: return "file";
	case vfs::Type::DIRECTORY: return "directory";
	case vfs::Type::SYMLINK: return "symlink";
	case vfs::Type::CHAR_DEVICE: return "device";
	}
	return "file";
}

/* One line of the tree, wherever it comes from. */
struct Line
{
	std::string path;
	std::string type;
	unsigned mode = 0;
	uint64_t size = 0;
	std::string plugin{};
	std::string details{};
};

void print(std::vector<Line> const &lines, bool json)
{
	Json list = Json::array();
	size_t width = 0;
	for (Line const &line : lines) width = std::max(width, line.path.size());
	for (Line const &line : lines) {
		if (!json) {
			fmt::print("{:04o}  {:<9}  {:<{}}  {}{}{}\n", line.mode, line.type,
				printable(line.path, vfs::PATH_MAX_BYTES), width, line.plugin,
				line.details.empty() ? "" : " ", printable(line.details));
			continue;
		}
		Json entry{{"path", line.path}, {"type", line.type},
			{"mode", fmt::format("{:04o}", line.mode)}, {"size", line.size}};
		if (!line.plugin.empty()) entry["plugin"] = line.plugin;
		if (!line.details.empty()) entry["details"] = line.details;
		list.push_back(std::move(entry));
	}
	if (json) print_json(list);
}

/* A manifest that was read and described, with calls into its tree. */
class Description
{
private:
	linux_host::Loop _loop{};
	Stderr_sink _sink{};

public:
	Manifest manifest;
	System system;

	explicit Description(std::string const &path)
		: manifest(host_system::read_manifest(path)),
		  system(_loop, manifest, Log(_sink, Level::WARNING))
	{
		system.describe();
	}

	template <typename FN>
	auto call(FN &&fn)
	{
		Job_with_arena<ARENA_BYTES> job(_loop.executor());
		return sync_wait(job, fn(job), _loop);
	}

	Attempt<vfs::Stat> stat(std::string_view path)
	{
		return call(
			[&](Job &job) { return system.tree().stat(job, USER_0, path, vfs::Last::KEEP); });
	}

	/* The settings of a file that say something to people. */
	static std::string details(Section const &file)
	{
		std::string result;
		for (Section::Setting const &setting : file.settings) {
			if (setting.key == "plugin" || setting.key == "text") continue;
			std::string value = setting.value.text;
			if (setting.value.type == vfs::Config_value::Type::NUMBER)
				value = std::to_string(setting.value.number);
			if (!value.empty())
				result += fmt::format("{}{}={}", result.empty() ? "" : " ", setting.key, value);
		}
		return result;
	}

	std::string plugin_of(std::string_view path) const
	{
		Section const *const file = Manifest::find(manifest.files, path);
		return file ? std::string(file->text_of("plugin")) : std::string();
	}
};

/* The entries of a directory, with their types. */
struct Listing final : vfs::Entry_sink
{
	std::vector<std::string> names{};

	bool entry(std::string_view name, vfs::Type, uint64_t, uint64_t) override
	{
		names.emplace_back(name);
		return true;
	}
};

void walk(Description &description, std::string const &path, std::vector<Line> &lines)
{
	Attempt<vfs::Stat> const stat = description.stat(path);
	if (!stat.ok()) return;
	Section const *const file = Manifest::find(description.manifest.files, path);
	lines.push_back(
		{path, std::string(name_of(stat.value().type)), stat.value().mode, stat.value().size,
			description.plugin_of(path), file ? Description::details(*file) : std::string()});
	// What lies in a file system of its own isn't the manifest's.
	bool const own = file && file->text_of("plugin") != "dir";
	if (stat.value().type != vfs::Type::DIRECTORY || own) return;
	Listing listing;
	Attempt<Ref<vfs::File>> directory = description.call(
		[&](Job &job) { return description.system.tree().open(job, USER_0, path, vfs::Access{}); });
	if (!directory.ok()) return;
	(void)description.call(
		[&](Job &job) { return directory.value()->read_directory(job, 0, listing); });
	(void)description.call([&](Job &job) { return directory.value()->close(job); });
	std::ranges::sort(listing.names);
	for (std::string const &name : listing.names)
		walk(description, (path == "/" ? "/" : path + "/") + name, lines);
}

std::string type_of(mode_t mode)
{
	if (S_ISDIR(mode)) return "directory";
	if (S_ISLNK(mode)) return "symlink";
	if (S_ISREG(mode)) return "file";
	return S_ISCHR(mode) ? "device" : "other";
}

/* The directory of information beside a device. */
fs::path information_of(fs::path const &path)
{
	return path.parent_path() / ("." + path.filename().string());
}

bool has_information(fs::path const &path)
{
	std::error_code ignored;
	return fs::is_regular_file(information_of(path) / "info", ignored);
}

void walk(fs::path const &path, unsigned depth, std::vector<Line> &lines)
{
	struct stat found{};
	if (lstat(path.c_str(), &found) != 0) return;
	bool const device = S_ISREG(found.st_mode) && has_information(path);
	lines.push_back({path.string(), device ? "device" : type_of(found.st_mode),
		found.st_mode & 07777, static_cast<uint64_t>(found.st_size)});
	if (!S_ISDIR(found.st_mode) || depth == 0) return;
	std::vector<fs::path> entries;
	std::error_code error;
	for (fs::directory_iterator entry(path, error), end; !error && entry != end;
		entry.increment(error))
		entries.push_back(entry->path());
	std::ranges::sort(entries);
	for (fs::path const &entry : entries) walk(entry, depth - 1, lines);
}

std::string read_text(fs::path const &path)
{
	std::ifstream file(path);
	std::string text(INFORMATION_MAX, '\0');
	file.read(text.data(), static_cast<std::streamsize>(text.size()));
	text.resize(static_cast<size_t>(file.gcount()));
	return text;
}

/* Lines of "name: value". */
Json properties(std::string const &text)
{
	Json result = Json::object();
	std::istringstream lines(text);
	for (std::string line; std::getline(lines, line);) {
		size_t const colon = line.find(": ");
		if (colon != std::string::npos) result[line.substr(0, colon)] = line.substr(colon + 2);
	}
	return result;
}

/* Prints nested objects with indentation. */
void print_object(Json const &object, unsigned indentation = 0)
{
	for (auto const &[key, value] : object.items()) {
		if (value.is_object()) {
			fmt::print("{:{}}{}:\n", "", indentation, key);
			print_object(value, indentation + 2);
		} else
			fmt::print("{:{}}{}: {}\n", "", indentation, key,
				value.is_string() ? value.get<std::string>()
								  : value.dump(-1, ' ', false, Json::error_handler_t::replace));
	}
}

void print(Json const &object, bool json)
{
	if (json)
		print_json(object);
	else
		print_object(object);
}

int stat_in_mount(Stat_options const &options)
{
	struct stat found{};
	if (lstat(options.path.c_str(), &found) != 0)
		return report({Exit::FAILURE, fmt::format("{}: {}", options.path, strerror(errno)),
			errno == ENOTCONN ? "the server has died: serve again" : ""});
	fs::path const path(options.path);
	bool const device = S_ISREG(found.st_mode) && has_information(path);
	Json result{{"path", options.path}, {"type", device ? "device" : type_of(found.st_mode)},
		{"mode", fmt::format("{:04o}", found.st_mode & 07777)}, {"size", found.st_size},
		{"links", found.st_nlink}, {"uid", found.st_uid}, {"gid", found.st_gid},
		{"inode", found.st_ino},
		{"modified", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(found.st_mtime))}};
	if (device)
		for (char const *const part : {"info", "counters"})
			result[part] = properties(read_text(information_of(path) / part));
	print(result, options.json);
	return done();
}

int stat_in_manifest(Stat_options const &options)
{
	Description description(options.manifest);
	if (!description.manifest.faults.empty()) return report_faults(description.manifest);
	Attempt<vfs::Stat> const found = description.stat(options.path);
	if (!found.ok())
		return report(
			{Exit::FAILURE, fmt::format("{}: {}", options.path, bulkhead::name_of(found.error())),
				fmt::format("bulkhead tree {}", options.manifest)});
	vfs::Stat const &stat = found.value();
	Json result{{"path", options.path}, {"type", std::string(name_of(stat.type))},
		{"mode", fmt::format("{:04o}", stat.mode)}, {"size", stat.size}, {"uid", stat.uid},
		{"gid", stat.gid}};
	auto const settings = [](Section const &section) {
		Json object = Json::object();
		for (Section::Setting const &setting : section.settings) {
			using Type = vfs::Config_value::Type;
			if (setting.value.type == Type::TEXT) object[setting.key] = setting.value.text;
			if (setting.value.type == Type::NUMBER) object[setting.key] = setting.value.number;
			if (setting.value.type == Type::BOOLEAN) object[setting.key] = setting.value.boolean;
		}
		return object;
	};
	Manifest const &manifest = description.manifest;
	if (Section const *const file = Manifest::find(manifest.files, options.path)) {
		result["file"] = settings(*file);
		Section const *const device = Manifest::find(manifest.devices, file->text_of("device"));
		if (device) result["device"] = settings(*device);
		Section const *const bus =
			device ? Manifest::find(manifest.buses, device->text_of("bus")) : nullptr;
		if (bus) result["bus"] = settings(*bus);
	}
	print(result, options.json);
	return done();
}

} // namespace

int show_tree(Tree_options const &options)
{
	std::vector<Line> lines;
	std::error_code error;
	if (fs::is_directory(options.of, error)) {
		walk(fs::path(options.of), options.depth, lines);
	} else if (error && error.value() == ENOTCONN) {
		return report(
			{Exit::MOUNT_POINT, fmt::format("{}: its server has died", options.of), "serve again"});
	} else {
		Description description(options.of);
		if (!description.manifest.faults.empty()) return report_faults(description.manifest);
		walk(description, "/", lines);
	}
	print(lines, options.json);
	return done();
}

int show_stat(Stat_options const &options)
{
	return options.manifest.empty() ? stat_in_mount(options) : stat_in_manifest(options);
}

} // namespace bulkhead::tool
