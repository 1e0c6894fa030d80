#include "component/qrexec/host/usage.h"

#include <sys/socket.h>

namespace bulkhead::qrexec {

void print(std::string_view text) { (void)!::write(STDOUT_FILENO, text.data(), text.size()); }

void print_version()
{
	print(program_invocation_short_name);
	print(" " BULKHEAD_VERSION " (Bulkhead; qrexec protocol 4)\n");
}

void log_where_help_is()
{
	log("see ", std::string_view(program_invocation_short_name), " --help");
}

void name_program_for_getopt(char **argv) { argv[0] = program_invocation_short_name; }

bool stdin_is_stream_socket()
{
	int type = 0;
	socklen_t size = sizeof(type);
	if (::getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
		return true;
	log("--use-stdin-socket: standard input is no stream socket");
	return false;
}

} // namespace bulkhead::qrexec
