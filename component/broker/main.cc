// bulkhead-broker: runs a system of domains, as its manifest says.

#include "component/broker/keeper.h"
#include "component/broker/machine.h"

#include <csignal>
#include <cstdlib>
#include <sys/resource.h>

using namespace bulkhead::broker;

int main(int argc, char **argv)
{
	Options options = read_options(argc, argv);
	if (options.exit_code >= 0) return options.exit_code;
	// As many descriptors as may be had: a few for each domain.
	rlimit limit{};
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	signal(SIGPIPE, SIG_IGN);
	bool const kept = getenv(KEEPER_VARIABLE) || (getenv("NOTIFY_SOCKET") && getenv("FDSTORE"));
	if (!kept && !options.check) return keep(argv, options.ready_fd);
	Descriptors stored = take_stored();
	Notify notify = options.check ? Notify() : Notify::of_environment();
	bool const only_checks = options.check;
	Machine machine(std::move(options), notify);
	int const code = machine.prepare(stored);
	return code || only_checks ? code : machine.run();
}
