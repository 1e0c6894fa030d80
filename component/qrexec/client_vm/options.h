#pragma once

// What qrexec-client-vm is asked for: its command line, which is upstream's.

#include <optional>
#include <string>
#include <vector>

namespace bulkhead::qrexec {

struct Client_vm_options
{
	std::string target{}; // `$` of old tools is `@`
	std::string service{};
	std::vector<std::string> program{}; // a local one and its arguments, or none
	std::string agent_socket{}; // empty: the usual one
	std::string source{};
	std::string prefix{}; // sent before standard input
	size_t ring_bytes = 0; // 0: the usual
	std::optional<bool> replace_characters{}; // not said: if it goes to a terminal
	std::optional<bool> replace_error_characters{};
	bool stdin_is_socket = false; // and standard output
	bool help = false, version = false; // and nothing else
};

/* Nothing, and `why`, if the command line is wrong; `status` is what to exit with. */
std::optional<Client_vm_options> read_client_vm_options(
	int argc, char **argv, std::string &why, int &status);

/* How the program is used. */
std::string client_vm_usage();

} // namespace bulkhead::qrexec
