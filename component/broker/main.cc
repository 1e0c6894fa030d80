// bulkhead-broker: runs a system of domains, as its manifest says.

#include "component/broker/keeper.h"
#include "component/broker/machine.h"

#include <csignal>
#include <sys/resource.h>

using namespace bulkhead::broker;

int main(int argc, char **argv)
{
	Options options = read_options(argc, argv);
	if (options.exit_code >= 0) return options.exit_code;
	if (options.check) return check(options.manifest);
	// As many descriptors as may be had: a few for each domain.
	rlimit limit{};
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	signal(SIGPIPE, SIG_IGN);
	Descriptors kept = take_kept();
	if (!kept.contains(KEEPER)) return keep(argv, options.ready_fd);
	return Machine(std::move(options), std::move(kept)).run();
}
