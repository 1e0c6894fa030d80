// qrexec-client-vm: calls a service of another domain.

#include "component/qrexec/client_vm/caller.h"
#include "component/qrexec/host/process.h"
#include "component/qrexec/host/usage.h"
#include "rpc/qrexec/message.h"

using namespace bulkhead;
using namespace bulkhead::qrexec;

int main(int argc, char **argv)
{
	prepare_process();
	std::string why;
	int status = 0;
	auto const options = read_client_vm_options(argc, argv, why, status);
	if (!options) return wrong_use(status, why);
	if (options->help) {
		print(client_vm_usage());
		return 0;
	}
	if (options->version) {
		print_version();
		return 0;
	}
	if (options->stdin_is_socket && !stdin_is_stream_socket()) return 2;
	linux_host::Loop loop;
	if (!loop.usable().ok()) {
		log("too many open files: raise the limit (ulimit -n)");
		return EXIT_TROUBLE;
	}
	Caller caller(loop, *options);
	return caller.run();
}
