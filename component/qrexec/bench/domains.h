#pragma once

// Domains to measure: agents, daemons and the policy daemon of this build, in a directory of their
// own, on the CPUs that this process has when it makes them.

#include "sdk/qrexec/call.h"

#include <string>
#include <sys/types.h>
#include <vector>

namespace bulkhead::bench {

/* A program that runs until the end of this object. */
class Running
{
private:
	pid_t _process;

public:
	explicit Running(pid_t process) : _process(process) {}
	Running(Running &&other) noexcept : _process(std::exchange(other._process, -1)) {}
	Running &operator=(Running &&) = delete;
	~Running();
};

/* A domain, or the host (0). */
enum Domain_id : int { HOST = 0, WORK = 5, VAULT = 7 };

class Domains
{
private:
	std::string const _directory;
	std::string const _transport;
	std::vector<Running> _running{};

	std::string _name_of(Domain_id) const;
	void _start(std::vector<std::string> const &command, Domain_id);
	void _start_domain(Domain_id);
	void _start_policy();

public:
	/* `directory` isn't there yet; `transport`: "shm" or "socket". Returns when calls can be made.
	 */
	Domains(std::string directory, char const *transport);
	~Domains();

	std::string path(std::string const &name) const { return _directory + "/" + name; }

	/* Where a service of a domain is: to be made executable, or listened on. */
	std::string service(Domain_id, std::string const &name) const;
	void script(Domain_id, std::string const &name, std::string const &text) const;

	/* Calls of the library: of `vault`, by the host or by `work`. */
	qrexec::Wanted_call call(Domain_id by, std::string const &service) const;

	/* Programs that call: of `vault`, by the host or by `work`. */
	std::vector<std::string> environment(Domain_id) const;
	std::vector<std::string> host_command(std::string const &command) const;
	std::vector<std::string> host_call(std::string const &service) const;
	std::vector<std::string> work_call(std::string const &service) const;
};

} // namespace bulkhead::bench
