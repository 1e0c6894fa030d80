#pragma once

// Programs that run as a user of this system, in a session that PAM opens and closes.

#include "component/qrexec/host/spawn.h"

namespace bulkhead::qrexec {

/*
 * As root: a process of its own opens a session for the user by the PAM service "qrexec", runs the
 * program in it, waits for it and closes the session; its exit code is the program's. A service is
 * executed by a login shell of /bin/sh, so that it has the user's usual environment (names reach it
 * as arguments, never as text), a command by the login shell of the user. Its standard
 * environment is PAM's, HOME, SHELL, USER, LOGNAME, and qrexec's variables.
 *
 * Where the system has no PAM service of this name there are no sessions: the program gets the
 * user's rights, groups, directory and the variables above, and for ourselves nothing changes at
 * all. As another user than root: nothing changes either, and nobody else's programs can be run.
 *
 * Failures are EXIT_TROUBLE: no such user, PAM refuses, another user and we aren't root.
 */
class Sessions final : public Log_in
{
private:
	std::string const _own_user; // of this process, whose name doesn't change
	std::string const _directory;
	bool const _configured;

public:
	static constexpr char SERVICE[] = "qrexec";

	/* A directory of PAM services; empty: the system's. */
	explicit Sessions(std::string pam_directory = {});

	/* Whether there is a PAM service for it. */
	bool configured() const { return _configured; }

	std::variant<pid_t, Service_failure> start(
		Program const &program, std::string const &user) override;
};

} // namespace bulkhead::qrexec
