#include "component/broker/components.h"

#include "domain/manifest/toml_table.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

using domain::Domain_plan;
using linux_host::Owned_fd;

// Of what systemd's documentation leaves free: a user for each domain, who owns nothing.
constexpr uid_t USERS_FIRST = 0x7000'0000;
constexpr uid_t USERS = 0x1000'0000;

constexpr std::string_view PROGRAM = "program";

/* The same each time for a domain, and hardly ever that of another (FNV-1a). */
uid_t user_of(std::string const &system, std::string const &name)
{
	uint64_t hash = 0xcbf2'9ce4'8422'2325;
	for (char const c : system + "/" + name)
		hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
	return USERS_FIRST + static_cast<uid_t>((hash ^ hash >> 32) % USERS);
}

std::string directory_of_components()
{
	if (char const *const path = getenv("BULKHEAD_COMPONENTS"); path && *path) return path;
	std::array<char, PATH_MAX> self;
	ssize_t const size = readlink("/proc/self/exe", self.data(), self.size());
	std::string path(self.data(), size > 0 ? static_cast<size_t>(size) : 0);
	std::string const here = path.substr(0, path.rfind('/'));
	std::string const built = here + "/../../components";
	return access(built.c_str(), X_OK) == 0 ? built : here + "/../../" BULKHEAD_COMPONENTS_BELOW;
}

Owned_fd connect_to(std::string const &path)
{
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	if (path.size() >= sizeof(to.sun_path)) return errno = ENAMETOOLONG, Owned_fd();
	memcpy(to.sun_path, path.data(), path.size());
	// Without blocking: a server whose backlog is full must not hold up all others.
	Owned_fd made{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	if (connect(made.value(), reinterpret_cast<sockaddr *>(&to), sizeof(to)) != 0)
		return Owned_fd();
	fcntl(made.value(), F_SETFL, O_RDWR);
	return made;
}

Owned_fd sealed_text(std::string const &text)
{
	Owned_fd made{memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	ssize_t const written = pwrite(made.value(), text.data(), text.size(), 0);
	if (written != static_cast<ssize_t>(text.size())) return Owned_fd();
	fcntl(made.value(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return made;
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

	void _program(std::vector<std::string> const &command)
	{
		if (command.empty() || !command.front().starts_with('/')) return;
		std::string const path = host_path(_plan, command.front());
		if (path.empty())
			fault("program " + command.front() + " isn't among the files that '" + _plan.name +
					"' sees",
				"add its directory to `files`");
		else if (!there(path))
			fault("program " + path + " of '" + _plan.name + "' doesn't exist", "install it");
		else if (access(path.c_str(), X_OK) != 0)
			fault("program " + path + " of '" + _plan.name + "' can't be executed", "see chmod(1)");
	}

public:
	Checker(Domain_plan const &plan, std::vector<domain::Fault> &faults)
		: _plan(plan), _faults(faults)
	{}

	void fault(std::string problem, std::string remedy)
	{
		_faults.push_back({_plan.at, std::move(problem), std::move(remedy)});
	}

	void check(Components &components)
	{
		std::string why;
		if (!components.find(_plan, why).executable)
			fault(
				why, "name a component that is installed, and system calls that the kernel knows");
		_program(_plan.program);
		for (domain::Service_command const &each : _plan.commands) _program(each.command);
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

bool give_devices(Prepared &to, Domain_plan const &plan, std::string &why)
{
	for (domain::Device const &each : plan.devices) {
		int const flags = (each.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
		Owned_fd device =
			each.path.empty() ? connect_to(each.socket) : Owned_fd(open(each.path.c_str(), flags));
		if (!device) {
			why = "device '" + each.name + "': " + (each.path.empty() ? each.socket : each.path) +
				": " + strerror(errno);
			return false;
		}
		to.sandbox.given.push_back({device.value(), "device:" + each.name});
		to.held.push_back(std::move(device));
	}
	return true;
}

} // namespace

Components::Components() : _directory(directory_of_components()) {}

std::shared_ptr<linux_host::System_calls const> Components::_compile(
	std::vector<std::string> const &names, std::string &why)
{
	auto &compiled = _compiled[names];
	if (compiled) return compiled;
	auto made = linux_host::System_calls::compile(names, why);
	if (made.ok())
		compiled = std::make_shared<linux_host::System_calls const>(std::move(made.value()));
	return compiled;
}

Component Components::find(Domain_plan const &plan, std::string &why)
{
	Component found;
	std::string const name = plan.component.empty() ? std::string(PROGRAM) : plan.component;
	std::string const path = _directory + "/" + name;
	auto const text = domain::read_text_file(path + ".toml", why);
	if (!text) {
		why = "component '" + name + "': " + why;
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
	if (found.sanitized) system_calls.push_back("@program");
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

bool prepare(Prepared &to, Components &components, std::string const &system,
	Domain_plan const &plan, int gate, std::string &why)
{
	linux_host::Sandbox &sandbox = to.sandbox;
	to.component = components.find(plan, why);
	Component const &component = to.component;
	if (!component.executable) return false;
	sandbox.executable = component.executable.value();
	sandbox.system_calls = component.system_calls.get();
	sandbox.arguments = {plan.component.empty() ? std::string(PROGRAM) : plan.component};
	sandbox.environment = {"BULKHEAD_DOMAIN=" + plan.name};
	to.held.push_back(sealed_text(plan.config));
	if (!to.held.back()) return why = std::string("memfd: ") + strerror(errno), false;
	sandbox.given = {{gate, "gate"}, {to.held.back().value(), "config"}};
	if (!give_devices(to, plan, why)) return false;
	for (domain::Seen_file const &each : plan.files)
		sandbox.binds.push_back({each.source, each.target, each.writable});
	for (std::string const &each : component.files) sandbox.binds.push_back({each, each, false});
	for (domain::Mount const &each : plan.mounts) sandbox.fuse_mounts.push_back(each.target);
	sandbox.scratch_bytes = plan.scratch_bytes;
	sandbox.proc = component.proc;
	sandbox.user = sandbox.group = geteuid() == 0 ? user_of(system, plan.name) : 0;
	sandbox.host_name = plan.name;
	sandbox.memory_bytes = plan.memory_bytes;
	sandbox.cpu_percent = plan.cpu_percent;
	sandbox.processes_max = plan.processes_max;
	if (component.sanitized) {
		for (char const *path : {"/usr", "/lib", "/lib64"})
			if (there(path)) sandbox.binds.push_back({path, path, false});
		sandbox.proc = true;
		sandbox.memory_bytes = 0; // its shadow alone is larger
		sandbox.environment.push_back("ASAN_OPTIONS=detect_leaks=0"); // it would trace itself
	}
	return true;
}

} // namespace bulkhead::broker
