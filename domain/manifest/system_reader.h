#pragma once

// From the values of a manifest's text to the plan of a system; what concerns several domains is
// left to plan_checks.h.

#include "domain/manifest/manifest.h"
#include "domain/manifest/plan_checks.h"
#include "domain/manifest/toml_table.h"

namespace bulkhead::domain {

class System_reader
{
public:
	/* A configuration that is a file of its own. */
	struct Config_file
	{
		size_t domain; // index in the plan
		std::string path;
		Position at;
	};

private:
	Reading &_reading;
	std::string _folder; // that relative paths start from
	std::vector<Config_file> _config_files{};

	std::vector<Reference> _references{};

	std::string _host_path(Toml_table &table, std::string_view key);
	void _read_system(Toml const &root);
	void _read_domain(Toml const &entry);
	void _read_kind(Toml_table &table, Domain_plan &plan);
	void _read_component(Toml_table &table, Domain_plan &plan);
	void _read_program(Toml_table &table, Domain_plan &plan);
	void _read_environment(Toml_table &table, Domain_plan &plan);
	void _read_commands(Toml_table &table, Domain_plan &plan);
	void _read_mounts(Toml_table &table, Domain_plan &plan);
	void _read_devices(Toml_table &table, Domain_plan &plan);
	void _read_files(Toml_table &table, Domain_plan &plan);
	void _read_relations(Toml_table &table, Domain_plan &plan);
	void _read_limits(Toml_table &table, Domain_plan &plan);

public:
	/* `reading` has its path; all that is found goes there. */
	explicit System_reader(Reading &reading);

	void read(Toml const &root);

	std::vector<Config_file> const &config_files() const { return _config_files; }
	std::vector<Reference> const &references() const { return _references; }
};

} // namespace bulkhead::domain
