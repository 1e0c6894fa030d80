// What the driver costs beside a hand-written version of the same register accesses, and beside
// swtpm's bare socket. `run` in this folder has callgrind count the instructions.
//
//	tpm_bench floor|driver|wire COMMANDS    does so many commands in `measured`
//	tpm_bench frames                        SPI frames of one command
//	tpm_bench rate                          commands per second with swtpm, on one CPU

#include "base/sync_wait.h"
#include "driver/tpm/bench/floor.h"
#include "driver/tpm/spi_access.h"
#include "driver/tpm/tis.h"
#include "platform/sim/swtpm_process.h"
#include "platform/sim/tpm_wire.h"

#include <algorithm>
#include <cstdio>
#include <sched.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::tpm {
namespace {

constexpr uint8_t GET_RANDOM[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16};

struct Host_clock final : Clock
{
	uint64_t now_us() const override
	{
		timespec now{};
		clock_gettime(CLOCK_MONOTONIC, &now);
		return uint64_t(now.tv_sec) * 1'000'000 + uint64_t(now.tv_nsec) / 1000;
	}
};

struct Instant_backend final : sim::Tpm_backend
{
	uint8_t answer[28] = {0x80, 1, 0, 0, 0, 28};

	void submit(sim::Tpm_client &client, uint8_t, Bytes) override { client.response(answer); }
	void cancel() override {}
};

/* Notes the transfers that pass, to repeat them without anybody's thinking. */
class Recorder final : public spi::Controller
{
public:
	struct Frame
	{
		std::vector<spi::Segment> segments;
		uint8_t header[4];
		uint8_t data[64];
	};

private:
	spi::Controller &_wire;

public:
	std::vector<Frame> frames{};

	explicit Recorder(spi::Controller &wire) : _wire(wire) {}

	spi::Limits const &limits() const override { return _wire.limits(); }

	Task<void, spi::Error> transfer(Job &job, spi::Chip const &chip,
		std::span<spi::Segment const> segments, spi::After after) override
	{
		Frame &frame = frames.emplace_back();
		frame.segments.assign(segments.begin(), segments.end());
		copy_bytes(frame.header, Bytes{segments[0].sent, 4});
		if (segments[2].sent) copy_bytes(frame.data, Bytes{segments[2].sent, segments[2].size});
		return _wire.transfer(job, chip, segments, after);
	}

	void idle() override { _wire.idle(); }

	/* The frames again, from and to memory of their own. */
	void repeat(Job &job)
	{
		for (Frame &frame : frames)
			if (!_wire.transfer(job, {}, frame.segments, spi::After::DESELECT).ready()) abort();
	}

	void detach()
	{
		for (Frame &frame : frames) {
			frame.segments[0] = spi::Segment::in_place(frame.header);
			spi::Segment &data = frame.segments[2];
			if (data.sent)
				data.sent = frame.data;
			else
				data.received = frame.data;
		}
	}
};

struct Chip
{
	Instant_backend backend{};
	sim::Tpm_registers registers{backend};
	sim::Tpm_wire wire{};
	Host_clock clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};
	uint8_t response[MESSAGE_MAX_BYTES];

	Chip() { wire.attach(0, registers); }
};

struct Driver
{
	Job &job;
	spi::Bus bus;
	spi::Device device{bus, {}};
	Spi_access access{device};
	Tis tis{access};

	Driver(spi::Controller &wire, Job &j) : job(j), bus(wire)
	{
		if (!sync_wait(job, tis.start(job)).ok()) abort();
	}

	size_t execute(Bytes command, Mutable_bytes response)
	{
		auto const size = sync_wait(job, tis.execute(job, command, response));
		if (!size.ok()) abort();
		return size.value();
	}
};

} // namespace
} // namespace bulkhead::tpm

using namespace bulkhead;
using namespace bulkhead::tpm;

/* What callgrind collects. */
template <typename EXECUTE>
[[gnu::noinline]] void measured(unsigned commands, EXECUTE &&execute)
{
	for (unsigned i = 0; i < commands; ++i) execute();
}

static int count(std::string_view what, unsigned commands)
{
	static tpm::Chip chip;
	Recorder recorder{chip.wire};
	if (what == "floor") {
		By_hand hand{chip.wire, chip.job};
		measured(commands, [&] { hand.execute(GET_RANDOM, chip.response); });
		return 0;
	}
	if (what == "driver") {
		Driver driver{chip.wire, chip.job};
		measured(commands, [&] { driver.execute(GET_RANDOM, chip.response); });
		return 0;
	}
	Driver driver{recorder, chip.job};
	driver.execute(GET_RANDOM, chip.response);
	recorder.frames.clear();
	driver.execute(GET_RANDOM, chip.response);
	size_t const by_driver = recorder.frames.size();
	if (what == "frames") {
		By_hand hand{recorder, chip.job};
		recorder.frames.clear();
		hand.execute(GET_RANDOM, chip.response);
		if (recorder.frames.size() != by_driver) return 1; // they wouldn't be comparable
		printf("%zu\n", by_driver);
		return 0;
	}
	recorder.detach();
	measured(commands, [&] { recorder.repeat(chip.job); });
	return 0;
}

/* Commands per second on swtpm's socket itself. */
static double bare_rate(std::string const &path, unsigned commands)
{
	int const fd = socket(AF_UNIX, SOCK_STREAM, 0);
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	path.copy(address.sun_path, sizeof(address.sun_path) - 1);
	if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address))) abort();
	Host_clock const clock;
	uint8_t response[4096];
	uint64_t const begin_us = clock.now_us();
	for (unsigned i = 0; i < commands; ++i) {
		if (write(fd, GET_RANDOM, sizeof(GET_RANDOM)) != sizeof(GET_RANDOM)) abort();
		if (read(fd, response, sizeof(response)) != 28) abort();
	}
	double const rate = commands * 1e6 / double(clock.now_us() - begin_us);
	close(fd);
	return rate;
}

static double driver_rate(sim::Swtpm_process const &process, unsigned commands)
{
	sim::Swtpm swtpm;
	if (!swtpm.connect(process.data_socket(), process.control_socket()).ok()) abort();
	swtpm.blocking = true;
	sim::Tpm_registers registers{swtpm};
	sim::Tpm_wire wire;
	wire.attach(0, registers);
	Host_clock clock;
	Executor executor{clock};
	Job_with_arena<4096> job{executor};
	Driver driver{wire, job};
	static uint8_t response[MESSAGE_MAX_BYTES];
	uint64_t const begin_us = clock.now_us();
	for (unsigned i = 0; i < commands; ++i)
		if (driver.execute(GET_RANDOM, response) != 28) abort();
	return commands * 1e6 / double(clock.now_us() - begin_us);
}

static int rate()
{
	constexpr unsigned ROUNDS = 7, COMMANDS = 20'000;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	sim::Swtpm_process process;
	if (!process.start().ok()) {
		fprintf(stderr, "tpm_bench: %s\n", process.message().c_str());
		return 1;
	}
	std::vector<double> bare, driver;
	for (unsigned i = 0; i < ROUNDS; ++i) {
		bare.push_back(bare_rate(process.data_socket(), COMMANDS));
		driver.push_back(driver_rate(process, COMMANDS));
	}
	auto const median = [](std::vector<double> &values) {
		std::sort(values.begin(), values.end());
		return values[values.size() / 2];
	};
	double const floor = median(bare), ours = median(driver);
	printf("TPM2_GetRandom per second, driver and swtpm pinned to CPU 0, medians of %u rounds:\n",
		ROUNDS);
	printf("  swtpm's bare socket            %8.0f\n", floor);
	printf("  driver, simulated wire, swtpm  %8.0f  (%.2f of it)\n", ours, ours / floor);
	return 0;
}

int main(int argc, char **argv)
{
	std::string_view const what = argc > 1 ? argv[1] : "rate";
	if (what == "rate") return rate();
	for (std::string_view known : {"floor", "driver", "wire", "frames"})
		if (what == known) return count(what, argc > 2 ? unsigned(atoi(argv[2])) : 1000);
	fprintf(
		stderr, "usage: tpm_bench [rate|frames|floor COMMANDS|driver COMMANDS|wire COMMANDS]\n");
	return 2;
}
