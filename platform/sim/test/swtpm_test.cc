// The register file and the wire with a real swtpm behind them, driven by register accesses as they
// are written down in the profile: no driver is involved.

#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/sim/swtpm_process.h"
#include "platform/sim/tpm_wire.h"

#include <gtest/gtest.h>
#include <vector>

namespace bulkhead::sim {
namespace {

using namespace ptp;

struct No_clock final : Clock
{
	uint64_t now_us() const override { return 0; }
};

/* Software that talks to a TPM on an SPI bus, one register access per transfer. */
class Swtpm_test : public testing::Test
{
protected:
	Swtpm_process process{};
	Swtpm swtpm{};
	Tpm_registers chip{swtpm};
	Tpm_wire wire{};
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	No_clock clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};

	void start(bool startup)
	{
		auto const started = process.start({.startup = startup});
		ASSERT_TRUE(started.ok()) << process.message();
		auto const connected = swtpm.connect(process.data_socket(), process.control_socket());
		ASSERT_TRUE(connected.ok()) << swtpm.message();
		wire.attach(0, chip);
	}

	void access(uint8_t direction, uint16_t address, spi::Segment data)
	{
		uint8_t header[4] = {static_cast<uint8_t>(direction | (data.size - 1)), 0xd4,
			static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
		spi::Segment const segments[] = {
			spi::Segment::in_place(header), spi::Segment::until(1, 1, 16), data};
		ASSERT_TRUE(sync_wait(job, device.transfer(job, segments)).ok());
	}

	std::vector<uint8_t> read(uint16_t address, size_t size)
	{
		std::vector<uint8_t> bytes(size);
		access(0x80, address, spi::Segment::in(bytes));
		return bytes;
	}

	void write(uint16_t address, std::vector<uint8_t> const &bytes)
	{
		access(0, address, spi::Segment::out(bytes));
	}

	uint32_t status(uint16_t base = 0)
	{
		auto const bytes = read(base | TPM_STS, 4);
		return load_le<uint32_t>(Bytes{bytes}.first<4>());
	}

	std::vector<uint8_t> transact(std::vector<uint8_t> const &command, uint16_t base = 0)
	{
		write(base | TPM_STS, {STS_commandReady});
		EXPECT_TRUE(status(base) & STS_commandReady);
		for (size_t at = 0; at < command.size(); at += 64) {
			auto const end = std::min(at + 64, command.size());
			write(base | TPM_DATA_FIFO,
				{command.begin() + static_cast<ptrdiff_t>(at),
					command.begin() + static_cast<ptrdiff_t>(end)});
		}
		EXPECT_FALSE(status(base) & STS_Expect);
		write(base | TPM_STS, {STS_tpmGo});
		while (!(status(base) & STS_dataAvail) && !chip.dead()) {
			auto const waited = swtpm.wait();
			EXPECT_TRUE(waited.ok()) << swtpm.message();
		}
		auto response = read(base | TPM_DATA_FIFO, 10);
		size_t left = load_be<uint32_t>(Bytes{response}.subspan<2, 4>()) - 10;
		while (left) {
			auto const more = read(base | TPM_XDATA_FIFO, std::min<size_t>(left, 64));
			response.insert(response.end(), more.begin(), more.end());
			left -= more.size();
		}
		EXPECT_FALSE(status(base) & STS_dataAvail);
		return response;
	}
};

std::vector<uint8_t> const STARTUP = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0};
std::vector<uint8_t> const GET_RANDOM = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16};

uint32_t code_of(std::vector<uint8_t> const &response)
{
	return load_be<uint32_t>(Bytes{response}.subspan<6, 4>());
}

TEST_F(Swtpm_test, yields_random_bytes_after_startup)
{
	start(false);
	write(TPM_ACCESS, {ACCESS_requestUse});
	EXPECT_EQ(code_of(transact(GET_RANDOM)), 0x100u); // TPM_RC_INITIALIZE
	EXPECT_EQ(code_of(transact(STARTUP)), 0u);
	auto const first = transact(GET_RANDOM);
	auto const second = transact(GET_RANDOM);
	EXPECT_EQ(code_of(first), 0u);
	EXPECT_EQ(first.size(), 28u);
	EXPECT_NE(first, second);
}

} // namespace
} // namespace bulkhead::sim
