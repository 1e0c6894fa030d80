// tpm-random without an operating system: the TPM of a PC, through its registers in memory.

#include "base/sync_wait.h"
#include "component/tpm_random/random_source.h"
#include "driver/tpm/mmio_access.h"
#include "driver/tpm/tis.h"
#include "platform/bare/clock.h"
#include "platform/bare/console.h"
#include "platform/bare/machine.h"

namespace {

using namespace bulkhead;

constexpr size_t ARENA_BYTES = 6144;
constexpr size_t RANDOM_BYTES = 100; // more than one TPM2_GetRandom yields

constexpr int EXIT_DRIVER = 4; // as tpm-random on Linux
constexpr int EXIT_REFUSED = 6;

void print_hex(Bytes bytes)
{
	char digits[2 * RANDOM_BYTES];
	Text_writer writer{digits};
	for (uint8_t const byte : bytes) format_hex_digits(writer, byte, 2);
	bare::print("random: ", writer.text(), "\n");
}

int failed(tpm_random::Random_source const &source, tpm_random::Error error)
{
	bare::print("tpm-random: ", error);
	if (error == tpm_random::Error::DRIVER) bare::print(": ", source.driver_error());
	if (error == tpm_random::Error::REFUSED) bare::print(": ", Hex(source.response_code(), 3));
	bare::print("\n");
	return error == tpm_random::Error::REFUSED ? EXIT_REFUSED : EXIT_DRIVER;
}

} // namespace

int bare_main()
{
	auto const idle = [](uint64_t until_us) { bare::idle_until_us(until_us); };
	bare::Monotonic_clock clock;
	Executor executor{clock};
	Job_with_arena<ARENA_BYTES> job{executor};
	tpm::Mmio_access access{reinterpret_cast<void volatile *>(tpm::MMIO_BASE)};
	tpm::Tis tis{access};

	Attempt<void, tpm::Error> const started = sync_wait(job, tis.start(job), idle);
	if (!started.ok()) {
		bare::print("tpm-random: ", started.error(), "\n");
		return EXIT_DRIVER;
	}
	bare::print("tpm: vendor ", Hex(tis.identity().vendor_id, 4), "\n");

	uint8_t random[RANDOM_BYTES];
	tpm_random::Random_source source{tis};
	auto const filled = sync_wait(job, source.fill(job, random), idle);
	if (!filled.ok()) return failed(source, filled.error());
	print_hex(random);
	bare::print("frames: ", job.peak(), " bytes at most\n");
	return 0;
}
