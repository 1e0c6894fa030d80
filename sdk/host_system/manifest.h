#pragma once

// A manifest: which buses, devices and files a system consists of, read from TOML into plain
// values that know where they stand. What a driver or plugin makes of its settings is decided
// elsewhere; every fault, whoever finds it, is told with line, column and a remedy.
//
//	[serve]                  # `bulkhead serve`: how it is shown; optional
//	[plugin.counter]         # `bulkhead serve`: a plugin from a shared object
//	[bus.spi0]               # a way to chips
//	[device.tpm0]            # a driver for one chip
//	[file."/dev/tpm0"]       # a node of the tree, made by a plugin
//	[export.dev]             # a component: what other domains may have of the tree
//	[[export.dev.client]]    # a component: what one of them may do

#include "domain/manifest/fault.h"
#include "vfs/config.h"

#include <string>
#include <vector>

namespace bulkhead::host_system {

using domain::Fault;
using domain::Position;
using domain::printable;

struct Value
{
	vfs::Config_value::Type type = vfs::Config_value::Type::OTHER;
	std::string text{};
	int64_t number = 0;
	bool boolean = false;
	std::vector<Value> items{};

	vfs::Config_value view() const;
};

/* A table of the manifest, as the settings of a driver or plugin. */
class Section final : public vfs::Config
{
public:
	struct Setting
	{
		std::string key;
		Position at;
		Value value;
	};

	std::string heading; // as it stands in the manifest: [device.tpm0]
	std::string name; // "tpm0", "/dev/tpm0"
	Position at{};
	std::vector<Setting> settings{}; // in the order of the manifest
	std::vector<Section> parts{}; // [[export.dev.client]], in the order of the manifest

	Section(std::string h, std::string n, Position p)
		: heading(std::move(h)), name(std::move(n)), at(p)
	{}

	Setting const *find(std::string_view key) const;

	/* The text of a key, empty if it is absent or no text. */
	std::string_view text_of(std::string_view key) const;

	/* Where a key stands, or the section. */
	Position position_of(std::string_view key) const;

	/* A fault that a driver or plugin has found, with its place. */
	Fault located(vfs::Config_fault const &fault) const;
	Fault fault(std::string_view key, std::string problem, std::string remedy = {}) const;

	/*
	 * All keys that nobody knows, each with a guess of what was meant, and all that are missing,
	 * and values of the wrong kind.
	 */
	void check_keys(std::span<vfs::Key const> known, std::span<vfs::Key const> common,
		std::vector<Fault> &faults) const;

	vfs::Config_value value(std::string_view key) const override;
	vfs::Config_value item(std::string_view key, size_t index) const override;
	std::string_view key(size_t index) const override;
};

struct Manifest
{
	std::string path;
	std::string text = {};

	Section serve{"[serve]", {}, {}};
	std::vector<Section> plugins{}; // from shared objects
	std::vector<Section> buses{};
	std::vector<Section> devices{};
	std::vector<Section> files{}; // their names are absolute paths without superfluous slashes
	std::vector<Section> exports{};

	std::vector<Fault> faults{};

	/* The section of this name, null if there is none. */
	static Section const *find(std::vector<Section> const &sections, std::string_view name);

	/* A fault as people read it: file, line, column, the line itself and a mark below it. */
	std::string describe(Fault const &fault) const;

	/* All faults in the order of the manifest. */
	std::string describe_faults() const;
};

/* Whom the manifest is for: each knows sections of its own beside buses, devices and files. */
enum class Audience : uint8_t {
	SERVE, // `bulkhead serve`: [serve], [plugin.…]
	COMPONENT, // a component that serves files: [export.…]
};

/* Reads a manifest from a text; the path is for messages only. */
Manifest parse_manifest(std::string path, std::string text, Audience audience = Audience::SERVE);

/* Reads it from a file. What can't be read is a fault without a position. */
Manifest read_manifest(std::string const &path);

/* A list of names that a fault may suggest. */
std::vector<vfs::Key> names_of(std::vector<Section> const &sections);

/* What is wrong with the form of a path, empty if nothing; removes superfluous slashes. */
struct Path_problem
{
	std::string problem{};
	std::string remedy{};
};
Path_problem tidy_path(std::string &path);

/*
 * What may have been meant by a name that doesn't exist: "did you mean 'tpm'?", or which names
 * there are.
 */
std::string suggestion(std::string_view wrong, std::span<vfs::Key const> known);

} // namespace bulkhead::host_system
