#pragma once

// A TPM of this host with its driver, in the process of whoever uses it: no daemon, no kernel
// driver, no file. One thread at a time; one command at a time.

#include "driver/tpm/spi_access.h"
#include "driver/tpm/tis.h"
#include "sdk/host_tpm/host_bus.h"

namespace bulkhead::sdk {

class Host_tpm
{
private:
	Host_bus _bus{};
	std::optional<tpm::Spi_access> _access{};
	std::optional<tpm::Tis> _tis{};
	Root _root{};
	tpm::Error _error{}; // of the command that has ended, none if it went well
	size_t _size = 0; // of its response
	std::string _message{};
	uint8_t _buffer[tpm::MESSAGE_MAX_BYTES]{}; // a command, then its response

	static Root _run(Job &, Host_tpm &, size_t size);
	Attempt<void, tpm::Error> _start(uint8_t locality);

public:
	Host_tpm() = default;
	~Host_tpm();
	Host_tpm(Host_tpm const &) = delete;
	Host_tpm &operator=(Host_tpm const &) = delete;

	/*
	 * Opens the bus by its name (`Host_name`) and starts the driver; once. Blocks, for less than a
	 * second unless the chip doesn't obey. Errors, with a sentence in `message`: those of
	 * `Host_bus::open`, and those of `Tis::start` as seen from outside; `driver_error` is the exact
	 * one then.
	 */
	Attempt<void> open(std::string_view name);

	std::string const &message() const { return _message; }

	/* What the driver said when `open` failed; none if the driver wasn't reached. */
	tpm::Error driver_error() const { return _error; }

	/* All below: of a TPM that is open. */
	tpm::Tis &tis() { return *_tis; }
	Host_bus &bus() { return _bus; }

	/*
	 * Begins a command, without waiting for its end; the TPM gets it in the first `wait`, so a
	 * `wait(0)` has it work while the caller does something else. Errors: BUSY (another one isn't
	 * finished), TOO_LONG, OUT_OF_FRAMES. What is wrong with its bytes is an error of the driver.
	 */
	Attempt<void> begin(Bytes command);

	/*
	 * Waits until the command has ended or the time has come (microseconds of `Host_bus::now_us`;
	 * 0: doesn't wait, NEVER_US). Whether it has ended; true if there is none.
	 */
	bool wait(uint64_t until_us = NEVER_US);

	/* When `wait` is worth calling again even if nothing arrives, 0: now. */
	uint64_t next_look_us();

	/* Of the command that has ended, until the next one begins. Errors: those of `Tis::execute`. */
	Attempt<Bytes, tpm::Error> response() const;

	/* Asks the TPM to end the command early; `wait` as ever. Without effect if none goes on. */
	void cancel();

	/*
	 * Uses another locality (0-4) from now on. If it isn't granted, all stays as it was. Errors:
	 * those of `Tis::start`. No command may be going on.
	 */
	Attempt<void, tpm::Error> change_locality(uint8_t locality);
};

} // namespace bulkhead::sdk
