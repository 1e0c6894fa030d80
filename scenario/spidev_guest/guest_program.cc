// Runs in the guest: our SPI bus and Spidev against the kernel's spidev, an i.MX6 ECSPI controller
// and a NOR flash (SST25VF016B). Transfers, both limits, a held bus, and a conditional segment.

#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/linux/clock.h"
#include "platform/linux/spidev.h"

#include <cstdio>
#include <cstring>

using namespace bulkhead;
using spi::Segment;

namespace {

// Commands of the SST25VF016B data sheet.
constexpr uint8_t WRITE_STATUS = 0x01;
constexpr uint8_t BYTE_PROGRAM = 0x02;
constexpr uint8_t READ = 0x03;
constexpr uint8_t READ_STATUS = 0x05;
constexpr uint8_t WRITE_ENABLE = 0x06;
constexpr uint8_t SECTOR_ERASE = 0x20;
constexpr uint8_t JEDEC_ID = 0x9f;
constexpr uint8_t STATUS_BUSY = 0x01;

unsigned failures = 0;

void check(bool good, char const *what)
{
	std::printf("%s %s\n", good ? "ok" : "FAILED", what);
	if (!good) ++failures;
}

struct Fixture
{
	linux_host::Monotonic_clock clock{};
	Executor executor{clock};
	Job_with_arena<8192> job{executor};
	linux_host::Spidev controller{};
	spi::Bus bus;
	spi::Device flash;

	Fixture() : bus(controller), flash(bus, {.clock_hz = 1'000'000}) {}

	Attempt<void, spi::Error> run(
		std::span<Segment const> segments, spi::After after = spi::After::DESELECT)
	{
		return sync_wait(job, flash.transfer(job, segments, after));
	}

	bool command(Bytes bytes)
	{
		Segment const segments[]{Segment::out(bytes)};
		return run(segments).ok();
	}

	/* Waits with the chip selected: the status is sent again and again until it isn't busy. */
	bool idle()
	{
		uint8_t const ask[]{READ_STATUS};
		uint8_t status[1]{};
		Segment const segments[]{
			Segment::out(ask), Segment::in(status), Segment::until(STATUS_BUSY, 0, 10'000)};
		return run(segments).ok();
	}

	bool write_enable()
	{
		uint8_t const enable[]{WRITE_ENABLE};
		return command(enable);
	}
};

void identify(Fixture &f)
{
	uint8_t const ask[]{JEDEC_ID};
	uint8_t id[3]{};
	Segment const apart[]{Segment::out(ask), Segment::in(id)};
	bool const ran = f.run(apart).ok();
	check(ran && id[0] == 0xbf && id[1] == 0x25 && id[2] == 0x41, "JEDEC id, out and in");

	uint8_t both[4]{JEDEC_ID};
	Segment const in_place[]{Segment::in_place(both)};
	check(f.run(in_place).ok() && !std::memcmp(both + 1, id, 3), "JEDEC id, in place");
}

void program(Fixture &f)
{
	uint8_t const unprotect[]{WRITE_STATUS, 0};
	uint8_t const erase[]{SECTOR_ERASE, 0, 0, 0};
	uint8_t const byte[]{BYTE_PROGRAM, 0, 0, 16, 0x5a};
	check(f.write_enable() && f.command(unprotect) && f.idle(), "write protection off");
	check(
		f.write_enable() && f.command(erase) && f.idle(), "erase, and wait with the chip selected");
	check(f.write_enable() && f.command(byte) && f.idle(), "program a byte");

	uint8_t const read[]{READ, 0, 0, 15};
	uint8_t data[3]{};
	Segment const segments[]{Segment::out(read), Segment::in(data)};
	bool const ran = f.run(segments).ok();
	check(ran && data[0] == 0xff && data[1] == 0x5a && data[2] == 0xff, "read it back");
}

void conditional(Fixture &f)
{
	// A read goes on for as long as the chip is selected: the byte 0x5a is the 17th.
	uint8_t const read[]{READ, 0, 0, 0};
	uint8_t first[1]{};
	uint8_t next[1]{};
	Segment const segments[]{
		Segment::out(read), Segment::in(first), Segment::until(0xff, 0x5a, 100), Segment::in(next)};
	check(f.run(segments).ok() && first[0] == 0xff && next[0] == 0xff,
		"read until a byte comes, then on");
	Segment const never[]{Segment::out(read), Segment::in(first), Segment::until(0xff, 0x5b, 100)};
	Attempt<void, spi::Error> const result = f.run(never);
	check(!result.ok() && result.error() == spi::Error::CONDITION_UNMET, "a byte that never comes");
	identify(f); // the chip was deselected, or this would be data
}

void held(Fixture &f)
{
	uint8_t const ask[]{JEDEC_ID};
	uint8_t id[3]{};
	Segment const out[]{Segment::out(ask)};
	Segment const in[]{Segment::in(id)};
	check(!f.run(out, spi::After::KEEP_SELECTED).ok(), "keeping the chip selected takes the bus");
	bool const acquired = sync_wait(f.job, f.flash.acquire(f.job)).ok();
	bool const ran = f.run(out, spi::After::KEEP_SELECTED).ok() && f.run(in).ok();
	check(acquired && ran && id[0] == 0xbf, "one command in two transfers, bus held");
	check(f.flash.release().ok() && !f.bus.busy(), "released");
}

void limits(Fixture &f)
{
	static uint8_t data[4097];
	size_t const most = f.flash.limits().received_max;
	std::printf("bufsiz %zu\n", most);
	uint8_t const read[]{READ, 0, 0, 0};
	Segment const fits[]{Segment::out(read), Segment::in(std::span(data).first(4096))};
	check(f.run(fits).ok() && data[16] == 0x5a, "4 bytes out and 4096 in");
	Segment const too_long[]{Segment::out(read), Segment::in(data)};
	Attempt<void, spi::Error> const result = f.run(too_long);
	check(!result.ok() && result.error() == spi::Error::TOO_LONG, "4 bytes out and 4097 in");
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 2) return 2;
	Fixture f;
	Attempt<void> const opened = f.controller.open(argv[1]);
	check(opened.ok(), "open");
	if (!opened.ok()) return 1;
	identify(f);
	program(f);
	conditional(f);
	held(f);
	limits(f);
	linux_host::Spidev absent;
	Attempt<void> const gone = absent.open("/dev/spidev9.9");
	check(!gone.ok() && gone.error() == Error::NOT_FOUND, "a device that isn't there");
	std::printf("%u failed\n", failures);
	return failures != 0;
}
