#include "component/echo/bench/systems.h"

#include <fstream>
#include <sched.h>

namespace bulkhead::echo {

char const *name_of(Placement placement)
{
	return placement == Placement::ONE_CPU ? "one CPU" : "two CPUs";
}

void pin(Placement placement, unsigned side, pid_t process)
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	if (side < 2) CPU_SET(placement == Placement::ONE_CPU ? 0 : side, &cpus);
	if (side == 2) CPU_SET(0, &cpus);
	if (side == 2 && placement == Placement::TWO_CPUS) CPU_SET(1, &cpus);
	sched_setaffinity(process, sizeof(cpus), &cpus);
}

double run_us(pid_t process)
{
	std::ifstream file("/proc/" + std::to_string(process) + "/schedstat");
	double ns = 0;
	file >> ns;
	return ns / 1000;
}

} // namespace bulkhead::echo
