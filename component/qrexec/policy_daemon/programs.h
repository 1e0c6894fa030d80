#pragma once

// The two programs, without their `main`.

#include "component/qrexec/policy_daemon/options.h"

namespace bulkhead::qrexec {

/* Answers until SIGTERM or SIGINT; SIGHUP has it load everything anew. Returns the exit code. */
int run_policy_daemon(Daemon_options options);

/*
 * Answers one question on standard output, as qrexec-daemon has it asked where no policy daemon
 * is. Exit code: 0 allowed, 1 not.
 */
int run_policy_exec(Exec_options options);

} // namespace bulkhead::qrexec
