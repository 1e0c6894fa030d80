#pragma once

// An SPI bus as Linux offers it to programs: one chip select of a controller, /dev/spidevB.C.

#include "driver/spi/controller.h"
#include "platform/linux/worker.h"

#include <array>
#include <linux/spi/spidev.h>
#include <string_view>

namespace bulkhead::linux_host {

/* The system calls that `Spidev` makes, so that a test can stand in for the kernel. */
class Spidev_calls
{
protected:
	~Spidev_calls() = default;

public:
	/* Results are those of the system calls, with -errno for a failure. */
	virtual int open(char const *path) = 0;
	virtual void close(int fd) = 0;
	virtual int ioctl(int fd, unsigned long request, void *argument) = 0;

	/* Bytes that the kernel sends, and bytes that it receives, in one message at most. */
	virtual size_t bufsiz() = 0;

	/* Those of the host. */
	static Spidev_calls &host();
};

/*
 * Each device file is a bus with one chip, number 0; the kernel arbitrates between the chips of a
 * controller and between processes, but only message by message: a bus that is held is held
 * against the clients of this object. A chip that was kept selected when the process is killed
 * stays so until the next message.
 *
 * What the kernel's driver of the controller can do is not known beforehand. A mode, bit order or
 * word size that it lacks is UNSUPPORTED at the first transfer, as is a delay between words above
 * 255 us; whether a shorter one is kept is up to that driver. Words of more than 8 bits are in the
 * byte order of the machine.
 *
 * Errors of transfers: TOO_LONG (EMSGSIZE: the kernel rounds each segment up for its DMA before it
 * adds up, so less than the limits may already be too much), UNSUPPORTED (EINVAL …), GONE (ENODEV,
 * ESHUTDOWN), BUSY, DENIED, TIMEOUT (the controller's), CONTROLLER_FAULT (EIO and all others).
 */
class Spidev final : public spi::Controller
{
public:
	static constexpr size_t SEGMENTS_MAX = 128;

private:
	// Delays may need messages of their own.
	static constexpr size_t MESSAGES_MAX = 2 * SEGMENTS_MAX;
	static_assert(MESSAGES_MAX * sizeof(spi_ioc_transfer) < 1u << _IOC_SIZEBITS);

	Spidev_calls &_calls;
	Worker_pool *const _pool;
	int _fd = -1;
	spi::Limits _limits{};
	uint32_t _mode = 0; // as the kernel has it now
	uint32_t _wanted_mode = 0;
	uint32_t _other_mode_bits = 0; // those of the kernel's mode that are not ours
	bool _keep_selected = false; // after the transfer that goes on
	bool _kept_selected = false; // the chip may be selected

	std::array<spi_ioc_transfer, MESSAGES_MAX> _messages{};
	size_t _messages_count = 0;

	Attempt<spi_ioc_transfer *, spi::Error> _append(spi::Chip const &);
	Attempt<void, spi::Error> _append_delay(spi::Chip const &, uint32_t us);
	Attempt<void, spi::Error> _append(spi::Chip const &, spi::Segment const &);
	Attempt<void, spi::Error> _prepare(
		spi::Chip const &, std::span<spi::Segment const>, spi::After);
	int _run();
	int _send_messages();
	Attempt<void, spi::Error> _outcome(int result);
	Task<void, spi::Error> _transfer_in_thread(Job &);

public:
	/* Transfers block the caller: for free-standing programs. */
	explicit Spidev(Spidev_calls &calls = Spidev_calls::host()) : _calls(calls), _pool(nullptr) {}

	/* Transfers run in a thread of the pool, so that a slow bus stalls nobody else. */
	explicit Spidev(Worker_pool &pool, Spidev_calls &calls = Spidev_calls::host())
		: _calls(calls), _pool(&pool)
	{}

	Spidev(Spidev const &) = delete;
	Spidev &operator=(Spidev const &) = delete;
	~Spidev();

	/*
	 * Opens the device file, and finds out the limits. Errors: NOT_FOUND, DENIED, BUSY, GONE (a
	 * file without a device behind it), NOT_SUPPORTED (some other file), TOO_MANY_OPEN, IO …;
	 * `spidev_remedy` has something to say to each.
	 */
	Attempt<void> open(char const *path);

	/* The same for a device file that is open, which this owns from now on, also if it fails. */
	Attempt<void> adopt(int fd);

	spi::Limits const &limits() const override { return _limits; }

	Task<void, spi::Error> transfer(Job &job, spi::Chip const &chip,
		std::span<spi::Segment const> segments, spi::After after) override;

	/* Deselects by an empty message, in the thread that calls: blocks while the bus is in use. */
	void idle() override;
};

/* What a person can do about an error of `Spidev::open`. */
std::string_view spidev_remedy(Error error);

} // namespace bulkhead::linux_host
