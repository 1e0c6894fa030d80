#pragma once

// The SPI bus that a TPM of this host is on, opened by its name, with a job and a clock to use it
// from plain code. One thread at a time.

#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/linux/clock.h"
#include "sdk/host_tpm/counting_controller.h"
#include "sdk/host_tpm/host_name.h"

#include <memory>
#include <optional>
#include <string>

namespace bulkhead::linux_host {
class Spidev;
}

namespace bulkhead::sdk {

class Host_bus
{
private:
	class Simulation;

	static constexpr size_t ARENA_BYTES = 8192;

	linux_host::Monotonic_clock _clock{};
	Executor _executor{_clock};
	Job_with_arena<ARENA_BYTES> _job{_executor};
	std::unique_ptr<Simulation> _simulation;
	std::unique_ptr<linux_host::Spidev> _spidev;
	std::optional<Counting_controller> _controller{};
	std::optional<spi::Bus> _bus{};
	std::optional<spi::Device> _device{};
	Host_name _name{};
	std::string _text{};
	std::string _message{};

	Attempt<spi::Controller *> _open_spidev();
	Attempt<spi::Controller *> _open_simulation();
	Error _fail(Error error, std::string message);

public:
	Host_bus();
	~Host_bus();
	Host_bus(Host_bus const &) = delete;
	Host_bus &operator=(Host_bus const &) = delete;

	/*
	 * Opens what the name says; once. Errors, with a sentence in `message`: INVALID (the name),
	 * NOT_FOUND, DENIED, BUSY, GONE (nobody answers), TIMEOUT, NOT_SUPPORTED (this isn't what the
	 * name says), IO, OUT_OF_MEMORY.
	 */
	Attempt<void> open(std::string_view name);

	/* What went wrong, with the name of what was to be opened. */
	std::string const &message() const { return _message; }

	/* All below: of a bus that is open. */
	Host_name const &name() const { return _name; }
	spi::Device &device() { return *_device; }
	Job &job() { return _job; }
	uint64_t now_us() const { return _clock.now_us(); }
	spi::Limits const &limits() const { return _bus->limits(); }
	Wire_counters const &counters() const { return _controller->counters(); }

	/*
	 * Whether looking at a simulated chip that executes a command waits for the end of it. For
	 * those who poll a status and do nothing else meanwhile; without effect on real chips.
	 */
	void let_chip_block(bool block);

	/*
	 * Sleeps until the time comes or the chip has something new; true in the latter case.
	 * (Microseconds of CLOCK_MONOTONIC; 0: doesn't sleep.)
	 */
	bool poll(uint64_t until_us);

	/* Sleeps until the time comes, or a signal. */
	void sleep_until(uint64_t until_us);

	/* Becomes readable when the chip has something new; -1: there is no such descriptor. */
	int fd() const;

	/* Runs one task to its end. */
	template <typename T, typename E>
	Attempt<T, E> run(Task<T, E> task)
	{
		return sync_wait(_job, std::move(task), [this](uint64_t until_us) { poll(until_us); });
	}
};

} // namespace bulkhead::sdk
