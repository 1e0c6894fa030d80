#pragma once

// Systems of two domains, `work` and `vault`, with component echo in each, to be measured.

#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace bulkhead::echo {

/* Where the processes run. */
enum class Placement : uint8_t { ONE_CPU, TWO_CPUS };
char const *name_of(Placement);

/* A process (0: this one) on the CPU of one side or the other, or on both (2). */
void pin(Placement, unsigned side, pid_t process = 0);

/* What a process has run until now, in microseconds. */
double run_us(pid_t process);

class System
{
public:
	virtual ~System() = default;
	virtual char const *name() const = 0;

	/* Calls a service in the operator's name: what it has said. */
	virtual std::string call(std::string_view target, std::string_view service) = 0;

	/* `work` on one, `vault` on the other CPU; the broker where it likes of those. */
	virtual void pin(Placement) = 0;

	/* Which processes there are, and what each has run until now, in microseconds. */
	struct Process
	{
		std::string name{};
		double run_us = 0;
	};
	virtual std::vector<Process> processes() = 0;
};

/* A broker that decides nothing, in a process of its own, and two domains without sandbox. */
std::unique_ptr<System> fake_system();

/* The broker of this build, with a policy, and two domains in sandboxes; none if it isn't built. */
std::unique_ptr<System> real_system(std::string const &directory);

/* 64 bytes there and back between two loops, over a bare channel and within a call; microseconds.
 */
double bare_round_trip_us(Placement, size_t count);
double call_round_trip_us(Placement, size_t count);

} // namespace bulkhead::echo
