#include "component/broker/prepared.h"

#include "platform/linux/unix_address.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

using domain::Domain_plan;
using linux_host::Owned_fd;

// Of what systemd's documentation leaves free: a user for each domain, who owns nothing.
constexpr uid_t USERS_FIRST = 0x7000'0000;
constexpr uid_t USERS = 0x1000'0000;

constexpr unsigned FILES = 256; // open descriptors of a process
constexpr unsigned FILES_OF_CALL = 10; // and of each call of a program

/* The same each time for a domain, and hardly ever that of another (FNV-1a). */
uid_t user_of(std::string const &system, std::string const &name)
{
	uint64_t hash = 0xcbf2'9ce4'8422'2325;
	for (char const c : system + "/" + name)
		hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
	return USERS_FIRST + static_cast<uid_t>((hash ^ hash >> 32) % USERS);
}

Owned_fd connect_to(std::string const &path)
{
	auto const to = linux_host::unix_address(path);
	if (!to) return errno = ENAMETOOLONG, Owned_fd();
	// Without blocking: a server whose backlog is full must not hold up all others.
	Owned_fd made{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	if (connect(made.value(), to->get(), to->size) != 0) return Owned_fd();
	fcntl(made.value(), F_SETFL, O_RDWR);
	return made;
}

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

Owned_fd sealed_text(std::string const &text)
{
	Owned_fd made{memfd_create("text", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	if (!made) return made;
	ssize_t const written = pwrite(made.value(), text.data(), text.size(), 0);
	if (written != static_cast<ssize_t>(text.size())) return Owned_fd();
	fcntl(made.value(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return made;
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
	sandbox.arguments = {component_of(plan)};
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
	sandbox.files_max = FILES + FILES_OF_CALL * plan.calls_max;
	if (component.sanitized) {
		sandbox.memory_bytes = 0; // its shadow alone is larger
		sandbox.environment.push_back("ASAN_OPTIONS=detect_leaks=0"); // it would trace itself
	}
	return true;
}

} // namespace bulkhead::broker
