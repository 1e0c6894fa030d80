#pragma once

// What a daemon is for, as its command line and its environment say.

#include <string>
#include <sys/resource.h>

namespace bulkhead::qrexec {

struct Settings
{
	uint32_t domain = 0;
	std::string name{};
	std::string uuid{}; // without "uuid:"; or empty
	std::string default_user = "user";
	std::string socket_directory{};
	std::string policy_socket = "/run/qubes/policy.sock"; // or $QREXEC_POLICY_SOCKET
	std::string policy_program = "/usr/bin/qrexec-policy-exec";
	bool direct = false; // no process in the background
	bool quiet = false;
	int startup_timeout_s = 60; // for the agent; 0: none
	rlimit descriptors{}; // as they were, for services
};

} // namespace bulkhead::qrexec
