#include "component/broker/plan/plan_read.h"

#include "component/broker/plan/options.h"
#include "platform/linux/sandbox/explain/lacks.h"

#include <algorithm>
#include <cstdlib>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

using linux_host::Ability;

/* Whether a system would be weaker without this. */
bool wanted(Ability ability, domain::System_plan const &plan)
{
	auto const any = [&](auto const &test) { return std::ranges::any_of(plan.domains, test); };
	switch (ability) {
	case Ability::NAMESPACES:
	case Ability::SECCOMP: return true;
	case Ability::LANDLOCK: return any([](auto const &each) { return !each.files.empty(); });
	case Ability::MEMORY_LIMIT: return any([](auto const &each) { return each.memory_bytes > 0; });
	case Ability::CPU_LIMIT: return any([](auto const &each) { return each.cpu_percent > 0; });
	case Ability::PROCESS_LIMIT:
		return any([](auto const &each) { return each.processes_max > 0; });
	}
	return true;
}

/* Where a unit of systemd's has its logs (systemd.exec(5), LogsDirectory=), or empty. */
std::string logs_of_unit(std::string const &system)
{
	char const *const directory = getenv("LOGS_DIRECTORY");
	return directory && *directory ? directory + ("/" + system) : std::string();
}

} // namespace

Plan_read read_plan(std::string const &manifest, Components &components)
{
	domain::Reading reading = domain::read_manifest(manifest);
	if (reading.faults.empty()) reading.faults = components.check(reading.plan);
	Plan_read read{.plan = {}, .ruling = {}, .faults = reading.describe_faults()};
	if (reading.faults.empty()) read.ruling = Ruling::make(reading.plan, read.faults);
	read.plan = std::move(reading.plan);
	if (read.plan.logs.empty()) read.plan.logs = logs_of_unit(read.plan.name);
	return read;
}

Lacks_of_plan lacks_of(domain::System_plan const &plan, std::string const &cgroup)
{
	Lacks_of_plan lacks;
	for (linux_host::Lack const &lack : linux_host::find_lacks(cgroup)) {
		std::string const name(name_of(lack.ability));
		lacks.all.push_back(lack.ability);
		if (!wanted(lack.ability, plan)) continue;
		if (std::ranges::find(plan.permit_weaker, name) != plan.permit_weaker.end()) {
			lacks.permitted.push_back(name);
			lacks.warnings += "without " + name + ", as the manifest permits: " + lack.why + "\n";
		} else {
			lacks.faults += "this machine lacks " + name + ": " + lack.why +
				"; mend that, or permit the weaker form: permit_weaker = [\"" + name + "\"]\n";
		}
	}
	return lacks;
}

int check(std::string const &manifest)
{
	Components components;
	Plan_read const read = read_plan(manifest, components);
	if (!read.faults.empty()) return say(read.faults), BAD_MANIFEST;
	Lacks_of_plan const lacks = lacks_of(read.plan, {});
	if (!lacks.faults.empty()) return say(lacks.faults), UNABLE;
	if (!lacks.warnings.empty()) say("warning: " + lacks.warnings);
	std::string const line =
		manifest + ": no faults, " + std::to_string(read.plan.domains.size()) + " domains\n";
	(void)!write(STDOUT_FILENO, line.data(), line.size());
	return 0;
}

} // namespace bulkhead::broker
