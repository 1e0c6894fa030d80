// qrexec-client-vm: calls a service of another domain.

#include "component/qrexec/client_vm/caller.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "rpc/qrexec/message.h"

#include <cstdio>
#include <sys/socket.h>

namespace {

using namespace bulkhead;
using namespace bulkhead::qrexec;

bool stdin_is_stream_socket()
{
	int type = 0;
	socklen_t size = sizeof(type);
	return getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

} // namespace

int main(int argc, char **argv)
{
	prepare_process();
	std::string why;
	int status = 0;
	auto const options = read_client_vm_options(argc, argv, why, status);
	if (!options) {
		log(why, "; see qrexec-client-vm --help");
		return status;
	}
	if (options->help) {
		std::fputs(client_vm_usage().c_str(), stdout);
		return 0;
	}
	if (options->version) {
		std::puts("qrexec-client-vm " BULKHEAD_VERSION);
		return 0;
	}
	if (options->stdin_is_socket && !stdin_is_stream_socket()) {
		log("--use-stdin-socket: standard input is no stream socket");
		return 2;
	}
	linux_host::Loop loop;
	if (!loop.usable().ok()) {
		log("too many open files: raise the limit (ulimit -n)");
		return EXIT_TROUBLE;
	}
	Caller caller(loop, *options);
	return caller.run();
}
