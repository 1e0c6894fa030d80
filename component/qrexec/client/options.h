#pragma once

// What qrexec-client was asked for.

#include <optional>
#include <string>

namespace bulkhead::qrexec {

/* A domain's request that this call answers (-c). */
struct Request
{
	std::string ident{};
	std::string source_name{};
	uint32_t source_id = 0;
};

struct Client_options
{
	std::string domain{}; // -d
	std::string command{}; // the remote one
	std::optional<std::string> local_command{}; // -l
	std::optional<Request> request{}; // -c
	bool just_exec = false; // -e
	bool exit_code = true; // not -E
	bool replace_output = false; // -t
	bool replace_errors = false; // -T
	bool wait_for_end = false; // -W
	bool kill = false; // -k
	bool stdin_socket = false; // --use-stdin-socket
	int timeout_s = 5; // -w; 0: none
	std::string socket_directory{}; // --socket-dir
};

/* What is left to do: run with the options, or exit with a code, as was said. */
struct Parsed_options
{
	std::optional<Client_options> options{};
	int exit_code = 0;
};

Parsed_options parse_options(int argc, char **argv);

/* "ident,name,id". Nothing if it is none. */
std::optional<Request> parse_request(std::string_view text);

} // namespace bulkhead::qrexec
