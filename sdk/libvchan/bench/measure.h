#pragma once

// What the parts of channel_bench have in common: where processes run, a process that is the other
// side of a measurement, medians, and how a figure is told.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace bulkhead::bench {

[[noreturn]] void give_up(std::string const &what);

/* Where the two sides of a measurement run. */
enum class Placement : uint8_t { ONE_CPU, TWO_CPUS };

/* Those that this process is allowed: both, or the first only. */
std::vector<Placement> placements();
char const *name_of(Placement);

/* Has this process run on the CPU of the one who asks, or of the one who answers. */
void pin_asker();
void pin_answerer(Placement);

struct Options
{
	bool quick = false;

	/* How often everything is measured in turns, and by which factor less each time. */
	unsigned rounds() const { return quick ? 5 : 9; }
	unsigned less() const { return quick ? 4 : 1; }
};

double now_s();

/* Of this process until now, user and system, in seconds. */
double process_time_s();

double median(std::vector<double> values);

/* The median of what each round says, so that what disturbs both of a round disturbs nothing. */
double median_ratio(std::vector<double> const &of, std::vector<double> const &to);

/* What the other side is to do; `what` and the numbers mean what the measurement says. */
struct Order
{
	Placement placement = Placement::ONE_CPU;
	uint32_t what = 0;
	uint64_t count = 0;
	uint64_t size = 0;
};

/*
 * A process that does its half of a measurement whenever it is told, and otherwise sleeps. Ends
 * with this object, or its parent.
 */
class Peer
{
private:
	pid_t _process = -1;
	int _control = -1;

	[[noreturn]] void _serve(std::function<std::function<double(Order const &)>()> const &);

public:
	/* In the new process `open` runs once, and what it returns for each order. */
	explicit Peer(std::function<std::function<double(Order const &)>()> const &open);
	Peer(Peer const &) = delete;
	Peer &operator=(Peer const &) = delete;
	~Peer();

	/* Returns when the peer is awake and about to begin. */
	void begin(Order const &);

	/* Waits until it is done; what it says then. */
	double end();

	/* Both. */
	double obey(Order const &order)
	{
		begin(order);
		return end();
	}
};

void title(std::string const &);

/* What is to be reached, and whether it is. */
struct Aim
{
	std::string text{};
	bool reached = true;
};
Aim at_most(double value, double limit, char const *unit = "");
Aim at_least(double value, double limit, char const *unit = "");

/* Prints a line. */
void figure(std::string const &name, std::string const &value, std::optional<double> ratio = {},
	Aim const &aim = {});
void remark(std::string const &);

/* How many figures have missed their aims. */
unsigned missed();

std::string in_us(double seconds);
std::string in_gib_per_s(double bytes_per_s);
std::string bytes_name(uint64_t bytes);

/* The parts; each prints its figures. `directory`: where channels are found. */
void round_trips(Options const &, std::string const &directory);
void spinning_round_trips(Options const &, std::string const &directory);
void throughputs(Options const &, std::string const &directory);
void connects(Options const &, std::string const &directory);
void waits(Options const &, std::string const &directory);
void crowds(Options const &, std::string const &directory);

} // namespace bulkhead::bench
