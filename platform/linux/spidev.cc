#include "platform/linux/spidev.h"

#include "platform/linux/errno.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace {

class Host_calls final : public Spidev_calls
{
public:
	int open(char const *path) override
	{
		int const fd = ::open(path, O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}

	void close(int fd) override { ::close(fd); }

	int ioctl(int fd, unsigned long request, void *argument) override
	{
		int const result = ::ioctl(fd, request, argument);
		return result < 0 ? -errno : result;
	}

	size_t bufsiz() override
	{
		unsigned size = 0;
		if (FILE *const file = fopen("/sys/module/spidev/parameters/bufsiz", "re")) {
			if (fscanf(file, "%u", &size) != 1) size = 0;
			fclose(file);
		}
		// What the kernel takes unless it is told otherwise.
		return size ? size : 4096;
	}
};

constinit Host_calls host_calls;

constexpr uint32_t OUR_MODE_BITS = SPI_MODE_3 | SPI_LSB_FIRST | SPI_CS_HIGH;

uint32_t mode_bits(spi::Chip const &chip)
{
	uint32_t bits = static_cast<uint32_t>(chip.mode);
	if (chip.lsb_first) bits |= SPI_LSB_FIRST;
	if (chip.select_active_high) bits |= SPI_CS_HIGH;
	return bits;
}

spi::Error transfer_error(int number)
{
	switch (number) {
	case EMSGSIZE: return spi::Error::TOO_LONG;
	case EINVAL:
	case EOPNOTSUPP:
	case ENOTTY: return spi::Error::UNSUPPORTED;
	case ENODEV:
	case ENXIO:
	case ESHUTDOWN: return spi::Error::GONE;
	case EBUSY: return spi::Error::BUSY;
	case EACCES:
	case EPERM: return spi::Error::DENIED;
	case ETIMEDOUT: return spi::Error::TIMEOUT;
	default: return spi::Error::CONTROLLER_FAULT;
	}
}

template <typename T>
uint64_t address_of(T *pointer)
{
	return reinterpret_cast<uintptr_t>(pointer);
}

uint32_t us_of_ns(uint32_t ns) { return ns / 1000 + (ns % 1000 != 0); }

} // namespace

Spidev_calls &Spidev_calls::host() { return host_calls; }

Attempt<void> Spidev::open(char const *path)
{
	BULKHEAD_ASSERT(_fd < 0);
	int const fd = _calls.open(path);
	if (fd < 0) return error_of_errno(-fd);
	return adopt(fd);
}

Attempt<void> Spidev::adopt(int fd)
{
	BULKHEAD_ASSERT(_fd < 0);
	uint32_t mode = 0, clock_max_hz = 0;
	int result = _calls.ioctl(fd, SPI_IOC_RD_MODE32, &mode);
	if (result >= 0) result = _calls.ioctl(fd, SPI_IOC_RD_MAX_SPEED_HZ, &clock_max_hz);
	if (result < 0) {
		_calls.close(fd);
		return error_of_errno(-result);
	}
	_fd = fd;
	_mode = mode;
	_other_mode_bits = mode & ~OUR_MODE_BITS;
	size_t const bufsiz = _calls.bufsiz();
	_limits = {
		.sent_max = bufsiz,
		.received_max = bufsiz,
		.segments_max = SEGMENTS_MAX,
		.clock_max_hz = clock_max_hz ? clock_max_hz : UINT32_MAX,
		.bits_per_word = UINT32_MAX,
		.keeps_selected = true,
		.lsb_first = true,
		.select_active_high = true,
		.word_delay = true,
	};
	return Ok{};
}

Spidev::~Spidev()
{
	if (_fd < 0) return;
	idle();
	_calls.close(_fd);
}

Attempt<spi_ioc_transfer *, spi::Error> Spidev::_append(spi::Chip const &chip)
{
	if (_messages_count == MESSAGES_MAX) return spi::Error::TOO_LONG;
	uint32_t const word_delay_us = us_of_ns(chip.word_delay_ns);
	if (word_delay_us > UINT8_MAX) return spi::Error::UNSUPPORTED;
	spi_ioc_transfer &message = _messages[_messages_count++];
	message = {};
	message.speed_hz = std::min(chip.clock_hz, _limits.clock_max_hz);
	message.bits_per_word = chip.bits_per_word;
	message.word_delay_usecs = static_cast<uint8_t>(word_delay_us);
	return &message;
}

/* Behind the message before; where there is none, and behind a reselect, as an empty message. */
Attempt<void, spi::Error> Spidev::_append_delay(spi::Chip const &chip, uint32_t us)
{
	spi_ioc_transfer *message = _messages_count ? &_messages[_messages_count - 1] : nullptr;
	if (!message || message->cs_change) message = TRY(_append(chip));
	while (true) {
		uint32_t const room_us = uint32_t{UINT16_MAX} - message->delay_usecs;
		uint32_t const part_us = std::min(us, room_us);
		message->delay_usecs = static_cast<uint16_t>(message->delay_usecs + part_us);
		us -= part_us;
		if (!us) return Ok{};
		message = TRY(_append(chip));
	}
}

Attempt<void, spi::Error> Spidev::_append(spi::Chip const &chip, spi::Segment const &segment)
{
	if (segment.kind == spi::Segment::Kind::UNTIL) return spi::Error::UNSUPPORTED;
	if (segment.kind == spi::Segment::Kind::DELAY) {
		TRY(_append_delay(chip, us_of_ns(segment.limit)));
	} else {
		spi_ioc_transfer &message = *TRY(_append(chip));
		message.tx_buf = address_of(segment.sent);
		message.rx_buf = address_of(segment.received);
		message.len = static_cast<uint32_t>(segment.size);
	}
	_messages[_messages_count - 1].cs_change = segment.reselect;
	return Ok{};
}

Attempt<void, spi::Error> Spidev::_prepare(
	spi::Chip const &chip, std::span<spi::Segment const> segments, spi::After after)
{
	_wanted_mode = _other_mode_bits | mode_bits(chip);
	_keep_selected = after == spi::After::KEEP_SELECTED;
	_messages_count = 0;
	for (spi::Segment const &segment : segments) TRY(_append(chip, segment));
	// On the last message, `cs_change` has the opposite meaning: the chip stays selected.
	bool const reselect = _messages[_messages_count - 1].cs_change;
	if (after == spi::After::DESELECT)
		_messages[_messages_count - 1].cs_change = 0;
	else if (reselect)
		(*TRY(_append(chip))).cs_change = 1;
	else
		_messages[_messages_count - 1].cs_change = 1;
	return Ok{};
}

int Spidev::_send_messages()
{
	// SPI_IOC_MESSAGE, whose check of the type needs a constant.
	size_t const size = _messages_count * sizeof(_messages[0]);
	return _calls.ioctl(_fd, _IOC(_IOC_WRITE, SPI_IOC_MAGIC, 0, size), _messages.data());
}

/* May run in another thread, and therefore looks at nothing that the caller may change. */
int Spidev::_run()
{
	uint32_t mode = _wanted_mode;
	if (mode != _mode) {
		int const result = _calls.ioctl(_fd, SPI_IOC_WR_MODE32, &mode);
		if (result < 0) return result;
		_mode = mode;
	}
	// Noted before, as nobody may be left who learns of the outcome.
	_kept_selected |= _keep_selected;
	return _send_messages();
}

Attempt<void, spi::Error> Spidev::_outcome(int result)
{
	// The kernel deselects after a failure, but not if it hasn't begun: `idle` makes sure.
	if (result < 0) return transfer_error(-result);
	_kept_selected = _keep_selected;
	return Ok{};
}

Task<void, spi::Error> Spidev::transfer(
	Job &job, spi::Chip const &chip, std::span<spi::Segment const> segments, spi::After after)
{
	if (_fd < 0) return spi::Error::GONE;
	if (Attempt<void, spi::Error> const fits = _prepare(chip, segments, after); !fits.ok())
		return fits;
	if (_pool) return _transfer_in_thread(job);
	return _outcome(_run());
}

Task<void, spi::Error> Spidev::_transfer_in_thread(Job &job)
{
	CO_TRY_ASSIGN(int const result, co_await _pool->run(job, [&] { return _run(); }));
	co_return _outcome(result);
}

void Spidev::idle()
{
	if (!_kept_selected) return;
	// A message without bytes selects and deselects.
	_kept_selected = false;
	_messages[0] = {};
	_messages_count = 1;
	(void)_send_messages();
}

std::string_view spidev_remedy(Error error)
{
	switch (error) {
	case Error::NOT_FOUND:
		return "no such file: load the module spidev and bind the chip to it (driver_override, or "
			   "a node in the device tree), then look for /dev/spidev*";
	case Error::DENIED:
		return "not allowed: run as a member of the group that owns the file (often spi), or add a "
			   "udev rule";
	case Error::BUSY: return "in use: end the program that has opened the device";
	case Error::GONE:
		return "the file has no device behind it: unplugged, or its driver was unbound";
	case Error::NOT_SUPPORTED: return "this file is not an spidev device";
	case Error::TOO_MANY_OPEN: return "too many open files: raise the limit (ulimit -n)";
	case Error::OUT_OF_MEMORY: return "the kernel has not enough memory";
	default: return "see the kernel's messages (dmesg)";
	}
}

} // namespace bulkhead::linux_host
