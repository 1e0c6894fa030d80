#include "domain/manifest/manifest.h"

#include "domain/manifest/plan_checks.h"
#include "domain/manifest/system_reader.h"
#include "domain/manifest/toml.h"

#include <algorithm>
#include <tuple>

namespace bulkhead::domain {

namespace {

constexpr size_t FAULTS_MAX = 100;

/* The faults in their order, and no more of them than somebody reads. */
void tidy(std::vector<Fault> &faults)
{
	std::vector<Fault *> places;
	for (Fault &fault : faults) places.push_back(&fault);
	std::ranges::sort(places, [](Fault const *a, Fault const *b) {
		return std::tuple(a->at.line, a->at.column, a) < std::tuple(b->at.line, b->at.column, b);
	});
	std::vector<Fault> ordered;
	for (Fault *const fault : places) ordered.push_back(std::move(*fault));
	faults = std::move(ordered);
	if (faults.size() <= FAULTS_MAX) return;
	std::string const more = std::to_string(faults.size() - FAULTS_MAX);
	faults.resize(FAULTS_MAX);
	faults.push_back({{}, "there are " + more + " more faults", "begin with the first"});
}

/* With the configurations that are files of their own, or without. */
Reading read(std::string_view text, std::string const &path, bool with_files)
{
	Reading reading;
	reading.plan.manifest = path;
	reading.text = text;
	System_reader reader(reading);
	std::optional<Toml> const root = read_toml(text, reading.faults);
	if (!root) return reading;
	reader.read(*root);
	for (System_reader::Config_file const &file : reader.config_files()) {
		if (!with_files) break;
		std::string why;
		std::optional<std::string> config = read_text_file(file.path, why);
		if (config && config->size() > TOML_MAX) why = "is larger than 1 MiB";
		if (why.empty())
			reading.plan.domains[file.domain].config = std::move(*config);
		else
			reading.faults.push_back({file.at, "'" + printable(file.path) + "': " + why,
				"a relative path starts from the manifest's folder"});
	}
	order_by_need(reading, reader.references());
	tidy(reading.faults);
	return reading;
}

} // namespace

std::string Reading::describe_faults() const
{
	return domain::describe_faults(plan.manifest, text, faults);
}

Reading parse_manifest(std::string_view text, std::string const &path)
{
	return read(text, path, false);
}

Reading read_manifest(std::string const &path)
{
	std::string why;
	std::optional<std::string> const text = read_text_file(path, why);
	if (text) return read(*text, path, true);
	Reading reading;
	reading.plan.manifest = path;
	reading.faults.push_back({{}, "can't be read: " + why,
		"name a manifest, as bulkhead-system.toml(5) describes them"});
	return reading;
}

} // namespace bulkhead::domain
