#pragma once

// A TPM 2.0 with the FIFO interface, by the TCG PC Client Platform TPM Profile (PTP): one command
// in, its response out. The driver knows localities, status, burst count and time-outs; how
// registers are reached, who calls it, and what a command means are not its business.
//
//	Tis tis { access, {} };
//	co_await may(co_await tis.start(job));
//	size_t const size = co_await may(co_await tis.execute(job, command, response));

#include "base/mutex.h"
#include "driver/tpm/durations.h"
#include "driver/tpm/interface.h"
#include "driver/tpm/register_access.h"

namespace bulkhead::tpm {

struct Tis_config
{
	uint8_t locality = 0; // 0-4

	// Take the locality from a lower one that doesn't let go (PTP 6.5.2.4), instead of waiting.
	bool seize = false;

	// Keep the locality between commands. It saves three accesses per command; others who want the
	// TPM must seize it.
	bool keep_locality = true;

	// The TPM's interrupt is connected: `Tis::interrupt` is called when it is raised. Without, the
	// status is polled.
	bool interrupts = false;

	Timeouts timeouts = {};
};

/* What the chip says of itself. */
struct Tis_identity
{
	uint16_t vendor_id = 0; // TPM_DID_VID, as PCI vendor ids
	uint16_t device_id = 0;
	uint8_t revision_id = 0;
	uint32_t interface_id = 0; // TPM_INTERFACE_ID
	uint32_t interface_capability = 0; // TPM_INTF_CAPABILITY
};

struct Tis_counters
{
	uint64_t commands = 0; // with a response
	uint64_t failures = 0; // without
	uint64_t command_retries = 0; // sent again before they were executed
	uint64_t response_retries = 0; // read again
	uint64_t cancels = 0; // commands that were cancelled, for whatever reason
	uint64_t localities_lost = 0;
};

class Tis final : public Interface
{
private:
	/* Something is written to a register, and a register is looked at until it shows the effect. */
	struct Ask
	{
		Register to = Register::TPM_STS;
		uint8_t value = 0; // 0: nothing is written
		bool insist = false; // it is written if need be, and again and again
		bool interruptible = false; // `cancel` ends it, and the interrupt spares looks
		Register at = Register::TPM_STS;
		uint32_t all = 0; // the bits that are waited for; 0: a burst count, or the end of `more`
		uint32_t more = 0;
		uint64_t timeout_us;
		Error late; // what it is called if it doesn't come in time

		bool met(uint32_t value_read) const;
	};

	/* A message, or a part of it, on its way through the FIFO. */
	struct Fifo_bytes
	{
		uint8_t const *sent; // or
		uint8_t *received;
		size_t left;
		bool begun; // the TPM knows that more is to come
		bool last; // the message ends with them

		void advance(size_t n);
	};

	Register_access &_access;
	Tis_config const _config;
	Tis_identity _identity{};
	Tis_counters _counters{};

	Mutex _exclusive{}; // one command at a time
	Event _changed{}; // raised by the interrupt and by `cancel`
	Job const *_executing = nullptr; // whose command the TPM works on
	bool _started = false;
	bool _held = false; // the locality is ours, as far as we know
	bool _written = false; // what was asked last was written
	bool _committed = false; // tpmGo was written, or may have been: no second time
	bool _cancel = false; // `cancel` asks for the command to be given up
	bool _interrupted = false; // since the last look at the status began
	uint8_t _word[4]{}; // of the register access that goes on

	uint16_t _address(Register) const;

	Task<uint32_t, Error> _read(Job &, Register);
	Task<uint32_t, Error> _value_of(Job &, Task<void, Error>, size_t size);
	Task<void, Error> _write(Job &, Register, uint32_t value, size_t size = 1);

	Error _cause(uint32_t access, Error otherwise);
	Task<uint32_t, Error> _ask(Job &, Ask const &);
	Task<uint32_t, Error> _look(Job &, Ask const &);
	Task<uint32_t, Error> _look_after(Job &, Task<void, Error> write, Ask);
	Task<uint32_t, Error> _look_again(Job &, Task<uint32_t, Error> first, Ask);
	Task<void, Error> _hold_locality(Job &);
	Task<void, Error> _access_fifo(Job &, Fifo_bytes const &, size_t size);
	Task<uint32_t, Error> _move(Job &, uint32_t status, Fifo_bytes);
	Task<size_t, Error> _receive(Job &, uint32_t status, Mutable_bytes response);
	Task<uint32_t, Error> _cancel_command(Job &, Error why);
	Task<size_t, Error> _exchange(Job &, Bytes command, Mutable_bytes response);
	Task<void, Error> _settle(Job &, bool relinquish);
	Task<void, Error> _settle_slowly(Job &, bool relinquish);
	Task<size_t, Error> _execute(Job &, Bytes command, Mutable_bytes response);
	Task<size_t, Error> _start(Job &);
	Task<size_t, Error> _relinquish(Job &);
	Task<size_t, Error> _probe(Job &);
	Task<size_t, Error> _exclusively(Job &, Task<size_t, Error>);
	Task<void, Error> _without_value(Job &, Task<size_t, Error>);

public:
	/* The access outlives the driver and is used by nobody else. */
	explicit Tis(Register_access &access, Tis_config const &config = {});

	/*
	 * Finds out what is there and makes it ready for commands; may be repeated after a failure.
	 * Errors: NO_TPM, NOT_FIFO, NOT_TPM2, LOCALITY_DENIED, STATUS_INVALID, and those of the bus.
	 */
	Task<void, Error> start(Job &job);

	/*
	 * Sends a command and receives its response. Waits for its turn, in order with other jobs.
	 *
	 * A command that failed before the TPM began with it is sent again; one that the TPM may have
	 * executed is not. A job that is cancelled, or whose deadline passes, cancels its command.
	 * After each error the TPM is idle, as far as it still obeys. Errors: all of `Error`.
	 */
	Task<size_t, Error> execute(Job &job, Bytes command, Mutable_bytes response) override;

	/* Sets TPM_STS commandCancel, as soon as the job that executes has looked at the status. */
	bool cancel(Job const &job) override;

	/* Lets others have the locality until the next command. */
	Task<void, Error> relinquish(Job &job);

	/* To be called when the TPM's interrupt is asserted. Does not block. */
	void interrupt()
	{
		_interrupted = true;
		_changed.raise_all();
	}

	bool started() const { return _started; }
	Tis_config const &config() const { return _config; }
	Tis_identity const &identity() const { return _identity; }
	Tis_counters const &counters() const { return _counters; }
};

} // namespace bulkhead::tpm
