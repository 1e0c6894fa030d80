#pragma once

// The command lines of qrexec-policy-daemon and qrexec-policy-exec.

#include "component/qrexec/policy_daemon/office.h"

#include <variant>

namespace bulkhead::qrexec {

struct Daemon_options
{
	Office_options office{};
	std::string socket = "/var/run/qubes/policy.sock";
	std::string eval_socket = "/etc/qubes-rpc/policy.EvalSimple";
	std::string gui_socket = "/etc/qubes-rpc/policy.EvalGUI";
};

struct Exec_options
{
	Office_options office{};
	bool assume_yes = false;
	bool just_evaluate = false;
	std::string source{};
	std::string target{};
	std::string service{};
};

/* Nothing is to be done any more: what was to be said is said; an exit code. */
struct Exit_code
{
	int code;
};

std::variant<Daemon_options, Exit_code> parse_daemon_options(int argc, char **argv);
std::variant<Exec_options, Exit_code> parse_exec_options(int argc, char **argv);

} // namespace bulkhead::qrexec
