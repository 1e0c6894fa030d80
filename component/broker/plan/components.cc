#include "component/broker/plan/components.h"

#include "component/broker/plan/options.h"
#include "domain/manifest/toml_table.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

using domain::Domain_plan;

std::string directory_of_components()
{
	if (char const *const path = getenv("BULKHEAD_COMPONENTS"); path && *path) return path;
	std::string const path = this_program();
	std::string const here = path.substr(0, path.rfind('/'));
	std::string const built = here + "/../../components";
	return access(built.c_str(), X_OK) == 0 ? built : here + "/../../" BULKHEAD_COMPONENTS_BELOW;
}

bool there(std::string const &path) { return access(path.c_str(), F_OK) == 0; }

/* Where a program of a domain is on the host, as far as its files say. */
std::string host_path(Domain_plan const &plan, std::string const &path)
{
	std::string found;
	size_t longest = 0;
	for (domain::Seen_file const &each : plan.files) {
		std::string const &target = each.target;
		bool const within = path.starts_with(target) &&
			(path.size() == target.size() || target.ends_with('/') || path[target.size()] == '/');
		if (!within || target.size() < longest) continue;
		longest = target.size();
		found = each.source + path.substr(target.size());
	}
	return found;
}

class Checker
{
private:
	Domain_plan const &_plan;
	std::vector<domain::Fault> &_faults;

	void _program(domain::Position at, std::vector<std::string> const &command)
	{
		if (command.empty() || !command.front().starts_with('/')) return;
		std::string const path = host_path(_plan, command.front());
		if (path.empty())
			_fault(at,
				"program " + command.front() + " isn't among the files that '" + _plan.name +
					"' sees",
				"add its directory to `files`");
		else if (!there(path))
			_fault(at, "program " + path + " of '" + _plan.name + "' doesn't exist", "install it");
		else if (access(path.c_str(), X_OK) != 0)
			_fault(at, "program " + path + " of '" + _plan.name + "' can't be executed",
				"see chmod(1)");
	}

	void _fault(domain::Position at, std::string problem, std::string remedy)
	{
		_faults.push_back({at, std::move(problem), std::move(remedy)});
	}

public:
	Checker(Domain_plan const &plan, std::vector<domain::Fault> &faults)
		: _plan(plan), _faults(faults)
	{}

	void fault(std::string problem, std::string remedy)
	{
		_fault(_plan.at, std::move(problem), std::move(remedy));
	}

	void check(Components &components)
	{
		std::string why;
		if (!components.find(_plan, why).executable)
			fault(
				why, "name a component that is installed, and system calls that the kernel knows");
		_program(_plan.at, _plan.program);
		for (domain::Service_command const &each : _plan.commands) _program(each.at, each.command);
		for (domain::Seen_file const &each : _plan.files)
			if (!there(each.source))
				fault(each.source + ", which '" + _plan.name + "' is to see, doesn't exist",
					"make it, or leave it out of `files`");
		for (domain::Device const &each : _plan.devices)
			if (std::string const &path = each.path.empty() ? each.socket : each.path; !there(path))
				fault("device '" + each.name + "': there is no " + path,
					each.path.empty() ? "start its server first"
									  : "load its driver, or correct the path");
	}
};

} // namespace

Components::Components() : _directory(directory_of_components()) {}

std::shared_ptr<linux_host::System_calls const> Components::_compile(
	std::vector<std::string> const &names, std::string &why)
{
	auto &compiled = _compiled[names];
	if (compiled) return compiled;
	auto made = linux_host::compile_system_calls(names, why);
	if (made.ok())
		compiled = std::make_shared<linux_host::System_calls const>(std::move(made.value()));
	return compiled;
}

Component Components::find(Domain_plan const &plan, std::string &why)
{
	Component found;
	std::string const name = component_of(plan);
	std::string const path = _directory + "/" + name;
	auto const text = domain::read_text_file(path + ".toml", why);
	if (!text) {
		why = "component '" + name + "': " + path + ".toml: " + why;
		return found;
	}
	std::vector<domain::Fault> faults;
	auto const toml = domain::read_toml(*text, faults);
	std::vector<std::string> system_calls;
	if (toml) {
		domain::Toml_table table(*toml, "the description", faults);
		table.check_keys({"system_calls", "files", "proc", "sanitized"});
		system_calls = table.strings("system_calls", 1024);
		found.files = table.strings("files", 64);
		found.proc = table.boolean("proc", false);
		found.sanitized = table.boolean("sanitized", false);
	}
	if (!faults.empty()) {
		why = domain::describe_faults(path + ".toml", *text, faults);
		return found;
	}
	if (found.sanitized) {
		system_calls.push_back("@program");
		for (char const *each : {"/usr", "/lib", "/lib64"})
			if (there(each)) found.files.push_back(each);
		found.proc = true;
	}
	system_calls.insert(
		system_calls.end(), plan.extra_system_calls.begin(), plan.extra_system_calls.end());
	found.system_calls = _compile(system_calls, why);
	if (!found.system_calls) {
		why = "component '" + name + "': " + why;
		return found;
	}
	found.executable.reset(open(path.c_str(), O_PATH | O_CLOEXEC));
	if (!found.executable) why = path + ": " + strerror(errno);
	return found;
}

std::vector<domain::Fault> Components::check(domain::System_plan const &plan)
{
	std::vector<domain::Fault> faults;
	for (Domain_plan const &each : plan.domains) Checker(each, faults).check(*this);
	return faults;
}

} // namespace bulkhead::broker
