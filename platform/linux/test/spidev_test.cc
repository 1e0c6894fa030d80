#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/linux/spidev.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::linux_host {
namespace {

using spi::After;
using spi::Segment;

/* A chip that answers each byte with the byte before plus one, and writes down what it sees. */
struct Chip_model
{
	std::string wire; // "[" and "]" for chip select, bytes in hexadecimal, "." for a delay
	std::deque<uint8_t> answers;
	uint8_t last = 0;
	bool selected = false;

	void select(bool on)
	{
		if (selected != on) wire += on ? '[' : ']';
		selected = on;
	}

	uint8_t exchange(uint8_t sent)
	{
		EXPECT_TRUE(selected);
		char hex[3];
		snprintf(hex, sizeof(hex), "%02x", sent);
		wire += hex;
		uint8_t received = static_cast<uint8_t>(last + 1);
		if (!answers.empty()) received = answers.front(), answers.pop_front();
		last = sent;
		return received;
	}
};

/* Takes messages as drivers/spi/spidev.c of Linux 6.1 does, and drives the chip as spi.c. */
struct Kernel final : Spidev_calls
{
	static constexpr int FD = 77;

	Chip_model chip;
	std::vector<spi_ioc_transfer> seen;
	std::vector<uint32_t> modes;
	size_t buffer_size = 4096;
	size_t dma_align = 8;
	uint32_t mode = SPI_MODE_0;
	uint32_t modes_supported = SPI_MODE_3 | SPI_NO_CS | SPI_LSB_FIRST;
	uint32_t words_supported = 1u << 7;
	int open_error = 0, ioctl_error = 0, transfer_error = 0;
	bool is_open = false;
	std::thread::id thread; // of the first message
	std::function<void()> before_message = [] {};

	int open(char const *) override
	{
		if (open_error) return -open_error;
		is_open = true;
		return FD;
	}

	void close(int fd) override
	{
		EXPECT_EQ(fd, FD);
		EXPECT_TRUE(is_open);
		is_open = false;
	}

	size_t bufsiz() override { return buffer_size; }

	int ioctl(int fd, unsigned long request, void *argument) override
	{
		EXPECT_EQ(fd, FD);
		EXPECT_TRUE(is_open);
		if (ioctl_error) return -ioctl_error;
		uint32_t &value = *static_cast<uint32_t *>(argument);
		if (request == SPI_IOC_RD_MODE32) return value = mode, 0;
		if (request == SPI_IOC_RD_MAX_SPEED_HZ) return value = 10'000'000, 0;
		if (request == SPI_IOC_WR_MODE32) {
			if (value & ~modes_supported) return -EINVAL;
			modes.push_back(mode = value);
			return 0;
		}
		size_t const size = _IOC_SIZE(request);
		if (seen.empty()) thread = std::this_thread::get_id();
		EXPECT_EQ(request, _IOC(_IOC_WRITE, SPI_IOC_MAGIC, 0, size));
		if (size % sizeof(spi_ioc_transfer)) return -EINVAL;
		return message(
			{static_cast<spi_ioc_transfer *>(argument), size / sizeof(spi_ioc_transfer)});
	}

	int message(std::span<spi_ioc_transfer const> transfers)
	{
		// A copy, as the test may replace it meanwhile.
		auto const before = before_message;
		before();
		size_t total = 0, sent = 0, received = 0;
		for (spi_ioc_transfer const &t : transfers) {
			size_t const aligned = (t.len + dma_align - 1) / dma_align * dma_align;
			total += t.len;
			if (t.rx_buf) received += aligned;
			if (t.tx_buf) sent += aligned;
			if (received > buffer_size || sent > buffer_size) return -EMSGSIZE;
			if (!(words_supported & 1u << (t.bits_per_word ? t.bits_per_word - 1 : 7)))
				return -EINVAL;
			EXPECT_TRUE(t.len == 0 || t.tx_buf || t.rx_buf);
		}
		if (transfer_error) return chip.select(false), -transfer_error;
		bool keep = false;
		chip.select(true);
		for (spi_ioc_transfer const &t : transfers) {
			seen.push_back(t);
			shift(t);
			if (t.delay_usecs) chip.wire += '.';
			if (!t.cs_change) continue;
			if (&t == &transfers.back()) {
				keep = true;
			} else {
				chip.select(false);
				chip.select(true);
			}
		}
		if (!keep) chip.select(false);
		return static_cast<int>(total);
	}

	void shift(spi_ioc_transfer const &t)
	{
		// The kernel copies to and from buffers of its own, so equal addresses are no matter.
		std::vector<uint8_t> bytes(t.len);
		if (t.tx_buf) memcpy(bytes.data(), reinterpret_cast<void *>(t.tx_buf), t.len);
		for (uint8_t &byte : bytes) byte = chip.exchange(byte);
		if (t.rx_buf) memcpy(reinterpret_cast<void *>(t.rx_buf), bytes.data(), t.len);
	}
};

struct Spidev_test : testing::Test
{
	Loop loop;
	Kernel kernel;
	Spidev spidev{kernel};
	spi::Bus bus{spidev};
	spi::Device device{bus, {}};
	Job_with_arena<2048> job{loop.executor()};
	std::array<uint8_t, 3> out{1, 2, 3};
	std::array<uint8_t, 3> in{};

	void SetUp() override { ASSERT_TRUE(spidev.open("/dev/spidev0.0").ok()); }

	Attempt<void, spi::Error> transfer(
		std::initializer_list<Segment> segments, After after = After::DESELECT)
	{
		std::vector<Segment> const list{segments};
		return sync_wait(job, device.transfer(job, list, after), loop);
	}
};

TEST_F(Spidev_test, sends_receives_and_exchanges)
{
	std::array<uint8_t, 2> in_place{8, 9};
	EXPECT_TRUE(transfer({Segment::out(out), Segment::in(in), Segment::exchange(out, in),
							 Segment::in_place(in_place)})
			.ok());
	EXPECT_EQ(kernel.chip.wire, "[0102030000000102030809]");
	EXPECT_EQ(in, (std::array<uint8_t, 3>{1, 2, 3}));
	EXPECT_EQ(in_place, (std::array<uint8_t, 2>{4, 9}));
}

TEST_F(Spidev_test, delays_behind_a_segment_before_all_and_for_long)
{
	EXPECT_TRUE(
		transfer({Segment::delay_ns(1), Segment::out(out), Segment::delay_ns(2001),
					 Segment::delay_ns(1000), Segment::in(in), Segment::delay_ns(150'000'000)})
			.ok());
	EXPECT_EQ(kernel.chip.wire, "[.010203.000000...]");
	ASSERT_EQ(kernel.seen.size(), 5u);
	EXPECT_EQ(kernel.seen[0].delay_usecs, 1);
	EXPECT_EQ(kernel.seen[0].len, 0u);
	EXPECT_EQ(kernel.seen[1].delay_usecs, 4);
	EXPECT_EQ(kernel.seen[2].delay_usecs + kernel.seen[3].delay_usecs + kernel.seen[4].delay_usecs,
		150'000);
}

TEST_F(Spidev_test, reselects_after_a_segment_and_never_at_the_end)
{
	EXPECT_TRUE(transfer(
		{Segment::out(out).and_reselect(), Segment::delay_ns(1000), Segment::in(in).and_reselect()})
			.ok());
	EXPECT_EQ(kernel.chip.wire, "[010203][.000000]");
}

TEST_F(Spidev_test, keeps_the_chip_selected_until_the_bus_is_released)
{
	ASSERT_TRUE(device.try_acquire().ok());
	EXPECT_TRUE(transfer({Segment::out(out)}, After::KEEP_SELECTED).ok());
	EXPECT_TRUE(transfer({Segment::in(in).and_reselect()}, After::KEEP_SELECTED).ok());
	EXPECT_EQ(kernel.chip.wire, "[010203000000][");
	EXPECT_TRUE(device.release().ok());
	EXPECT_EQ(kernel.chip.wire, "[010203000000][]");
}

TEST_F(Spidev_test, reads_single_bytes_until_a_condition_holds_with_the_chip_selected)
{
	kernel.chip.answers = {0, 0, 0, 0, 0, 1, 5, 6, 7};
	EXPECT_TRUE(
		transfer({Segment::exchange(out, in), Segment::until(1, 1, 10), Segment::in(in)}).ok());
	EXPECT_EQ(kernel.chip.wire, "[010203000000000000]");
	EXPECT_EQ(in, (std::array<uint8_t, 3>{5, 6, 7}));
}

TEST_F(Spidev_test, deselects_when_a_condition_is_not_met)
{
	kernel.chip.answers = std::deque<uint8_t>(20, 0);
	EXPECT_EQ(
		transfer({Segment::in(in), Segment::until(1, 1, 2)}).error(), spi::Error::CONDITION_UNMET);
	EXPECT_EQ(kernel.chip.wire, "[0000000000]");
	EXPECT_FALSE(kernel.chip.selected);
}

TEST_F(Spidev_test, limits_what_is_sent_and_what_is_received_apart)
{
	std::vector<uint8_t> most(4096), more(4097);
	std::array<uint8_t, 4> header{};
	EXPECT_TRUE(transfer({Segment::out(header), Segment::in(most)}).ok());
	EXPECT_EQ(transfer({Segment::out(header), Segment::in(more)}).error(), spi::Error::TOO_LONG);
	EXPECT_EQ(transfer({Segment::out(header), Segment::out(most)}).error(), spi::Error::TOO_LONG);
}

TEST_F(Spidev_test, passes_on_that_the_kernel_pads_segments)
{
	kernel.dma_align = 64;
	std::vector<uint8_t> most(4095);
	std::array<uint8_t, 1> one{};
	EXPECT_EQ(transfer({Segment::in(one), Segment::in(most)}).error(), spi::Error::TOO_LONG);
	EXPECT_EQ(kernel.chip.wire, "");
}

TEST_F(Spidev_test, takes_the_limit_from_the_module)
{
	Kernel large;
	large.buffer_size = 65536;
	Spidev other{large};
	ASSERT_TRUE(other.open("/dev/spidev0.0").ok());
	EXPECT_EQ(other.limits().sent_max, 65536u);
	EXPECT_EQ(other.limits().received_max, 65536u);
}

TEST_F(Spidev_test, sets_clock_word_size_and_delay_with_each_message)
{
	ASSERT_TRUE(device.configure({.clock_hz = 99'000'000, .word_delay_ns = 1500}).ok());
	EXPECT_TRUE(transfer({Segment::out(out)}).ok());
	ASSERT_EQ(kernel.seen.size(), 1u);
	EXPECT_EQ(kernel.seen[0].speed_hz, 10'000'000u);
	EXPECT_EQ(kernel.seen[0].bits_per_word, 8);
	EXPECT_EQ(kernel.seen[0].word_delay_usecs, 2);
	ASSERT_TRUE(device.configure({.word_delay_ns = 255'001}).ok());
	EXPECT_EQ(transfer({Segment::out(out)}).error(), spi::Error::UNSUPPORTED);
	EXPECT_EQ(kernel.seen.size(), 1u);
}

TEST_F(Spidev_test, sets_the_mode_only_when_it_changes_and_keeps_foreign_bits)
{
	Kernel other;
	other.mode = SPI_NO_CS;
	Spidev without_select{other};
	ASSERT_TRUE(without_select.open("x").ok());
	spi::Bus other_bus{without_select};
	spi::Device zero{other_bus, {}}, three{other_bus, {.mode = spi::Mode::MODE_3}};
	Segment const segment = Segment::out(out);
	for (spi::Device *d : {&zero, &zero, &three, &three, &zero})
		EXPECT_TRUE(sync_wait(job, d->transfer(job, {&segment, 1}), loop).ok());
	EXPECT_EQ(other.modes, (std::vector<uint32_t>{SPI_MODE_3 | SPI_NO_CS, SPI_NO_CS}));
}

TEST_F(Spidev_test, says_that_a_mode_or_word_size_is_unsupported)
{
	ASSERT_TRUE(device.configure({.select_active_high = true}).ok());
	EXPECT_EQ(transfer({Segment::out(out)}).error(), spi::Error::UNSUPPORTED);
	ASSERT_TRUE(device.configure({.bits_per_word = 7}).ok());
	EXPECT_EQ(transfer({Segment::out(out)}).error(), spi::Error::UNSUPPORTED);
	ASSERT_TRUE(device.configure({}).ok());
	EXPECT_TRUE(transfer({Segment::out(out)}).ok());
}

TEST_F(Spidev_test, tells_the_errors_of_a_transfer_apart)
{
	std::pair<int, spi::Error> const table[] = {
		{EIO, spi::Error::CONTROLLER_FAULT},
		{ETIMEDOUT, spi::Error::TIMEOUT},
		{ESHUTDOWN, spi::Error::GONE},
		{ENODEV, spi::Error::GONE},
		{EMSGSIZE, spi::Error::TOO_LONG},
		{EBUSY, spi::Error::BUSY},
		{EACCES, spi::Error::DENIED},
		{EINVAL, spi::Error::UNSUPPORTED},
	};
	for (auto const &[number, error] : table) {
		kernel.transfer_error = number;
		EXPECT_EQ(transfer({Segment::out(out)}).error(), error) << strerror(number);
		EXPECT_FALSE(bus.busy());
	}
	kernel.transfer_error = 0;
	EXPECT_TRUE(transfer({Segment::out(out)}).ok());
}

TEST_F(Spidev_test, tells_the_errors_of_an_open_apart)
{
	std::pair<int, Error> const table[] = {
		{ENOENT, Error::NOT_FOUND},
		{EACCES, Error::DENIED},
		{EPERM, Error::DENIED},
		{EBUSY, Error::BUSY},
		{ENXIO, Error::GONE},
		{ENODEV, Error::GONE},
		{EMFILE, Error::TOO_MANY_OPEN},
		{EIO, Error::IO},
	};
	for (auto const &[number, error] : table) {
		Kernel failing;
		failing.open_error = number;
		Spidev other{failing};
		EXPECT_EQ(other.open("x").error(), error) << strerror(number);
		EXPECT_FALSE(spidev_remedy(error).empty());
	}
	Kernel foreign;
	foreign.ioctl_error = ENOTTY;
	Spidev other{foreign};
	EXPECT_EQ(other.open("/dev/null").error(), Error::NOT_SUPPORTED);
	EXPECT_FALSE(foreign.is_open);
}

TEST(Spidev_host, says_what_is_wrong_with_a_real_file)
{
	Spidev missing, foreign;
	EXPECT_EQ(missing.open("/dev/spidev99.99").error(), Error::NOT_FOUND);
	EXPECT_EQ(foreign.open("/dev/null").error(), Error::NOT_SUPPORTED);
}

TEST_F(Spidev_test, is_gone_before_it_is_opened)
{
	Spidev closed{kernel};
	Segment const segment = Segment::out(out);
	EXPECT_EQ(
		closed.transfer(job, {}, {&segment, 1}, After::DESELECT).take().error(), spi::Error::GONE);
}

TEST_F(Spidev_test, deselects_before_it_closes)
{
	Kernel other;
	{
		Spidev kept{other};
		ASSERT_TRUE(kept.open("x").ok());
		Segment const segment = Segment::out(out);
		EXPECT_TRUE(kept.transfer(job, {}, {&segment, 1}, After::KEEP_SELECTED).take().ok());
		EXPECT_TRUE(other.chip.selected);
	}
	EXPECT_EQ(other.chip.wire, "[010203]");
	EXPECT_FALSE(other.is_open);
}

TEST_F(Spidev_test, runs_in_a_thread_of_a_pool)
{
	Kernel other;
	Worker_pool pool{loop, 1};
	Spidev threaded{pool, other};
	ASSERT_TRUE(threaded.open("x").ok());
	spi::Bus other_bus{threaded};
	spi::Device chip{other_bus, {}};
	std::array const segments{Segment::exchange(out, in), Segment::until(1, 1, 5)};
	other.chip.answers = {0, 0, 0, 0, 1};
	EXPECT_TRUE(sync_wait(job, chip.transfer(job, segments), loop).ok());
	EXPECT_NE(other.thread, std::this_thread::get_id());
	EXPECT_NE(other.thread, std::thread::id{});
	EXPECT_EQ(other.chip.wire, "[0102030000]");
}

Root keep_selected(Job &job, spi::Device &device, std::span<Segment const> segments)
{
	(void)co_await device.transfer(job, segments, After::KEEP_SELECTED);
}

TEST_F(Spidev_test, deselects_a_chip_whose_job_is_destroyed_while_the_kernel_transfers)
{
	Kernel other;
	Worker_pool pool{loop, 1};
	Spidev threaded{pool, other};
	ASSERT_TRUE(threaded.open("x").ok());
	spi::Bus other_bus{threaded};
	spi::Device chip{other_bus, {}};
	ASSERT_TRUE(chip.try_acquire().ok());
	std::binary_semaphore begun{0}, let_go{0};
	other.before_message = [&] {
		begun.release();
		let_go.acquire();
	};
	Segment const segment = Segment::out(out);
	Job_with_arena<2048> doomed{loop.executor()};
	Root root = keep_selected(doomed, chip, {&segment, 1});
	ASSERT_TRUE(root.start(doomed).ok());
	loop.executor().run_ready();
	begun.acquire();
	other.before_message = [] {};
	std::thread thread([&] { let_go.release(); });
	root = Root{};
	thread.join();
	EXPECT_EQ(other.chip.wire, "[010203]");
	EXPECT_TRUE(chip.release().ok());
	EXPECT_TRUE(sync_wait(job, chip.transfer(job, {&segment, 1}), loop).ok());
	EXPECT_EQ(other.chip.wire, "[010203][010203]");
}

TEST_F(Spidev_test, says_when_the_arena_is_too_small_for_a_thread)
{
	Kernel other;
	Worker_pool pool{loop, 1};
	Spidev threaded{pool, other};
	ASSERT_TRUE(threaded.open("x").ok());
	Job_with_arena<64> small{loop.executor()};
	Segment const segment = Segment::out(out);
	Task<void, spi::Error> task = threaded.transfer(small, {}, {&segment, 1}, After::DESELECT);
	ASSERT_TRUE(task.ready());
	EXPECT_EQ(task.take().error(), spi::Error::OUT_OF_FRAMES);
}

} // namespace
} // namespace bulkhead::linux_host
