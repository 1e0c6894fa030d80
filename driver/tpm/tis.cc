#include "driver/tpm/tis.h"

namespace bulkhead::tpm {

static constexpr unsigned SEND_TRIES = 3;
static constexpr unsigned RECEIVE_TRIES = 3;
static constexpr uint32_t AVAILABLE = sts::STS_VALID | sts::DATA_AVAIL;
static constexpr uint32_t ALL_ONES =
	0xffff'ffff; // what an inactive locality and an empty bus read as

/*
 * The waits between two looks at a register: a few at once, since most answers are there already,
 * then ever longer ones, so that a command of a minute doesn't cost a minute of polling.
 */
class Backoff
{
private:
	static constexpr unsigned EAGER_LOOKS = 4;
	static constexpr uint64_t FIRST_US = 50;
	static constexpr uint64_t LAST_US = 5'000;

	unsigned _looks = 0;
	uint64_t _pause_us = FIRST_US;

public:
	/* 0: look again at once. */
	uint64_t next_us()
	{
		if (_looks < EAGER_LOOKS) {
			++_looks;
			return 0;
		}
		uint64_t const pause_us = _pause_us;
		_pause_us = std::min(_pause_us * 2, LAST_US);
		return pause_us;
	}
};

static uint64_t now_us(Job &job) { return job.executor.clock.now_us(); }

Tis::Tis(Register_access &access, Tis_config const &config) : _access(access), _config(config)
{
	BULKHEAD_ASSERT(config.locality < LOCALITIES);
}

uint16_t Tis::_address(Register at) const
{
	return uint16_t(_config.locality * LOCALITY_BYTES + uint16_t(at));
}

Task<uint32_t, Error> Tis::_read(Job &job, Register at, size_t size)
{
	Task<void, Error> access = _access.read(job, _address(at), std::span(_word).first(size));
	if (!access.ready()) return _value_of(job, std::move(access), size);
	Attempt<void, Error> const done = access.take();
	if (!done.ok()) return done.error();
	return size == 1 ? uint32_t(_word[0]) : load_le<uint32_t>(_word);
}

Task<uint32_t, Error> Tis::_value_of(Job &, Task<void, Error> access, size_t size)
{
	CO_TRY(co_await access);
	co_return size == 1 ? uint32_t(_word[0]) : load_le<uint32_t>(_word);
}

Task<void, Error> Tis::_write(Job &job, uint16_t address, uint32_t value, size_t size)
{
	store_le<uint32_t>(_word, value);
	return _access.write(job, address, std::span(_word).first(size));
}

/* Bits of the lowest byte: the others are those of TPM 2.0 and must not be written along. */
Task<void, Error> Tis::_write_status(Job &job, uint32_t bits)
{
	return _write(job, _address(Register::TPM_STS), bits, 1);
}

/* Why is the status not what it should be? The access register knows. */
Task<void, Error> Tis::_diagnose(Job &job, Error otherwise)
{
	CO_TRY_ASSIGN(uint32_t const value, co_await _read(job, Register::TPM_ACCESS, 1));
	if (value == 0xff || !(value & access::TPM_REG_VALID_STS)) co_return Error::GONE;
	if (!(value & access::ACTIVE_LOCALITY)) {
		if (_held) ++_counters.localities_lost;
		_held = false;
		co_return Error::LOCALITY_LOST;
	}
	co_return otherwise;
}

/*
 * Waits until the register has all bits of `all`, and one of `any` if that isn't zero. A status
 * that reads as all ones is none: the locality is not active, or the chip is gone.
 */
Task<uint32_t, Error> Tis::_await(Job &job, Awaited const awaited, uint64_t timeout_us, Error late)
{
	bool const status = awaited.at == Register::TPM_STS;
	size_t const size = status ? 4 : 1;
	uint32_t const absent = status ? ALL_ONES : 0xff;
	uint64_t const deadline_us = deadline_after_us(now_us(job), timeout_us);
	Backoff backoff;
	while (true) {
		CO_TRY_ASSIGN(uint32_t const value, co_await _read(job, awaited.at, size));
		bool const any = !awaited.any || (value & awaited.any);
		if (value != absent && any && (value & awaited.all) == awaited.all) co_return value;
		bool const too_late = now_us(job) >= deadline_us;
		if (status && (value == absent || too_late))
			CO_TRY(co_await _diagnose(job, too_late ? late : Error::STATUS_INVALID));
		if (too_late) co_return value == absent ? Error::GONE : late;
		uint64_t const pause_us = backoff.next_us();
		if (pause_us) CO_TRY(co_await sleep_us(job, pause_us));
	}
}

Task<uint32_t, Error> Tis::_await_status(Job &job, uint32_t all, uint64_t timeout_us, Error late)
{
	return _await(job, {.at = Register::TPM_STS, .all = all}, timeout_us, late);
}

/* Waits until the TPM takes or gives at least one byte. */
Task<uint32_t, Error> Tis::_await_burst(Job &job)
{
	return _await(job, {.at = Register::TPM_STS, .any = sts::BURST_COUNT}, _config.timeouts.a_us,
		Error::NO_BURST);
}

Task<uint32_t, Error> Tis::_await_access(Job &job, uint8_t all, Error late)
{
	return _await(job, {.at = Register::TPM_ACCESS, .all = all}, _config.timeouts.a_us, late);
}

Task<void, Error> Tis::_hold_locality(Job &job)
{
	if (_held) co_return Ok{};
	CO_TRY_ASSIGN(uint32_t const value, co_await _read(job, Register::TPM_ACCESS, 1));
	if (value == 0xff) co_return Error::GONE;
	if (value & access::BEEN_SEIZED)
		CO_TRY(co_await _write(job, _address(Register::TPM_ACCESS), access::BEEN_SEIZED, 1));
	if (!(value & access::ACTIVE_LOCALITY)) {
		uint8_t const request = _config.seize ? access::SEIZE : access::REQUEST_USE;
		CO_TRY(co_await _write(job, _address(Register::TPM_ACCESS), request, 1));
		uint8_t const granted = access::TPM_REG_VALID_STS | access::ACTIVE_LOCALITY;
		Attempt<uint32_t, Error> const held =
			co_await _await_access(job, granted, Error::LOCALITY_DENIED);
		if (!held.ok()) {
			// A request that is left behind would be granted to nobody later on.
			Job::Shield shield{job, deadline_after_us(now_us(job), _config.timeouts.b_us)};
			(void)co_await _write(job, _address(Register::TPM_ACCESS), access::ACTIVE_LOCALITY, 1);
			co_return held.error();
		}
	}
	_held = true;
	co_return Ok{};
}

/* To the state Ready, from whichever the TPM is in: what it was doing is given up. */
Task<uint32_t, Error> Tis::_get_ready(Job &job)
{
	// The first write may only end what was going on (to Idle), then the second one makes it ready.
	for (unsigned tries = 0;; tries++) {
		CO_TRY(co_await _write_status(job, sts::COMMAND_READY));
		Attempt<uint32_t, Error> const status = co_await _await_status(
			job, sts::COMMAND_READY, _config.timeouts.b_us / 2, Error::NOT_READY);
		if (status.ok() || status.error() != Error::NOT_READY || tries) co_return status;
	}
}

Task<void, Error> Tis::_send(Job &job, uint32_t status, Bytes command)
{
	uint16_t const fifo = _address(Register::TPM_DATA_FIFO);
	bool begun = false;
	while (!command.empty()) {
		size_t burst = sts::burst_count(status);
		if (begun && (status & sts::STS_VALID) && !(status & sts::EXPECT))
			co_return Error::COMMAND_CUT;
		while (burst && !command.empty()) {
			size_t const n = std::min({burst, command.size(), _access.size_max()});
			CO_TRY(co_await _access.write(job, fifo, command.first(n)));
			command = command.subspan(n);
			burst -= n;
			begun = true;
		}
		if (!command.empty()) {
			CO_TRY_ASSIGN(status, co_await _await_burst(job));
		}
	}
	CO_TRY_ASSIGN(status,
		co_await _await_status(job, sts::STS_VALID, _config.timeouts.c_us, Error::STATUS_INVALID));
	if (status & sts::EXPECT) co_return Error::COMMAND_LONG;
	co_return Ok{};
}

/* After commandCancel: the TPM has TIMEOUT_B to come up with a response, whichever it is. */
Task<uint32_t, Error> Tis::_await_cancelled(Job &job)
{
	++_counters.cancels;
	uint16_t const last_byte = uint16_t(_address(Register::TPM_STS) + 3);
	CO_TRY(co_await _write(job, last_byte, sts::COMMAND_CANCEL >> 24, 1));
	co_return co_await _await_status(job, AVAILABLE, _config.timeouts.b_us, Error::HUNG);
}

Task<uint32_t, Error> Tis::_await_response(Job &job, uint32_t command_code)
{
	constexpr uint64_t LOST_INTERRUPT_US = 100'000;

	uint64_t const deadline_us = deadline_after_us(now_us(job), duration_us(command_code));
	Backoff backoff;
	while (true) {
		CO_TRY_ASSIGN(uint32_t const status, co_await _read(job, Register::TPM_STS, 4));
		if (status == ALL_ONES) CO_TRY(co_await _diagnose(job, Error::STATUS_INVALID));
		if ((status & AVAILABLE) == AVAILABLE) co_return status;

		if (_cancel) {
			Attempt<uint32_t, Error> const cancelled = co_await _await_cancelled(job);
			if (!cancelled.ok() && cancelled.error() == Error::HUNG)
				co_return Error::COMMAND_CANCELLED;
			co_return cancelled;
		}
		uint64_t const time_us = now_us(job);
		if (time_us >= deadline_us) {
			CO_TRY(co_await _await_cancelled(job));
			co_return Error::DURATION_EXCEEDED;
		}
		uint64_t const pause_us = _config.interrupts ? LOST_INTERRUPT_US : backoff.next_us();
		if (pause_us == 0) continue;
		uint64_t const look_us = std::min(deadline_us, deadline_after_us(time_us, pause_us));
		Attempt<void> const woken = co_await _changed.wait(job, look_us);
		bool const own_limit = job.limit_us() <= look_us && now_us(job) >= job.limit_us();
		if (!woken.ok() && (woken.error() == bulkhead::Error::CANCELLED || own_limit))
			co_return Failure{woken.error()};
		if (woken.ok() && _config.interrupts && !_cancel)
			CO_TRY(
				co_await _write(job, _address(Register::TPM_INT_STATUS), interrupt::DATA_AVAIL, 4));
	}
}

/* Reads as many bytes, as the burst count allows; the status is that of the latest look. */
Task<void, Error> Tis::_read_fifo(Job &job, uint32_t &status, Mutable_bytes to)
{
	size_t burst = sts::burst_count(status);
	while (!to.empty()) {
		if (burst == 0) {
			CO_TRY_ASSIGN(status, co_await _await_burst(job));
			burst = sts::burst_count(status);
			if ((status & sts::STS_VALID) && !(status & sts::DATA_AVAIL))
				co_return Error::RESPONSE_CUT;
		}
		size_t const n = std::min({burst, to.size(), _access.size_max()});
		CO_TRY(co_await _access.read(job, _address(Register::TPM_DATA_FIFO), to.first(n)));
		to = to.subspan(n);
		burst -= n;
	}
	// What is left of the burst stands for the next read.
	status = (status & 0xff) | uint32_t(burst) << sts::BURST_COUNT_SHIFT;
	co_return Ok{};
}

Task<size_t, Error> Tis::_receive_once(Job &job, uint32_t status, Mutable_bytes response)
{
	CO_TRY(co_await _read_fifo(job, status, response.first(HEADER_BYTES)));
	size_t const size = load_be<uint32_t>(response.subspan<2, 4>());
	if (size < HEADER_BYTES || size > MESSAGE_MAX_BYTES) co_return Error::RESPONSE_MALFORMED;
	if (size > response.size()) co_return Error::BUFFER_TOO_SMALL;
	Mutable_bytes const rest = response.subspan(HEADER_BYTES, size - HEADER_BYTES);
	CO_TRY(co_await _read_fifo(job, status, rest));
	CO_TRY_ASSIGN(status,
		co_await _await_status(job, sts::STS_VALID, _config.timeouts.c_us, Error::STATUS_INVALID));
	if (status & sts::DATA_AVAIL) co_return Error::RESPONSE_LONG;
	co_return size;
}

static bool response_worth_reading_again(Error error)
{
	return error == Error::RESPONSE_MALFORMED || error == Error::RESPONSE_CUT ||
		error == Error::RESPONSE_LONG;
}

Task<size_t, Error> Tis::_receive(Job &job, uint32_t status, Mutable_bytes response)
{
	for (unsigned tries = 1;; tries++) {
		Attempt<size_t, Error> const size = co_await _receive_once(job, status, response);
		if (size.ok() || !response_worth_reading_again(size.error()) || tries == RECEIVE_TRIES)
			co_return size;
		++_counters.response_retries;
		CO_TRY(co_await _write_status(job, sts::RESPONSE_RETRY));
		CO_TRY_ASSIGN(
			status, co_await _await_status(job, AVAILABLE, _config.timeouts.c_us, size.error()));
	}
}

Task<size_t, Error> Tis::_exchange(Job &job, Bytes command, Mutable_bytes response)
{
	_committed = false;
	CO_TRY(co_await _hold_locality(job));
	CO_TRY_ASSIGN(uint32_t status, co_await _get_ready(job));
	CO_TRY(co_await _send(job, status, command));
	_committed = true;
	CO_TRY(co_await _write_status(job, sts::TPM_GO));
	uint32_t const code = load_be<uint32_t>(command.subspan<6, 4>());
	CO_TRY_ASSIGN(status, co_await _await_response(job, code));
	CO_TRY_ASSIGN(size_t const size, co_await _receive(job, status, response));
	CO_TRY(co_await _write_status(job, sts::COMMAND_READY));
	co_return size;
}

/* Makes the TPM give up whatever it does, so that the next command finds it idle. */
Task<void, Error> Tis::_recover(Job &job, Error error)
{
	bool const by_caller = error == Error::CANCELLED || error == Error::TIMEOUT;
	if (error == Error::GONE) {
		_held = false;
		co_return Ok{};
	}
	if (!_held) co_return Ok{};
	uint64_t const cleaning_us = 2 * _config.timeouts.b_us;
	Job::Shield shield{job, deadline_after_us(now_us(job), cleaning_us)};
	if (_committed && by_caller) CO_TRY(co_await _await_cancelled(job));
	CO_TRY(co_await _write_status(job, sts::COMMAND_READY));
	co_return Ok{};
}

static bool worth_sending_again(Error error)
{
	switch (error) {
	case Error::LOCALITY_LOST:
	case Error::STATUS_INVALID:
	case Error::COMMAND_CUT:
	case Error::COMMAND_LONG:
	case Error::NO_BURST: return true;
	default: return false;
	}
}

Task<size_t, Error> Tis::_exchange_or_retry(Job &job, Bytes command, Mutable_bytes response)
{
	for (unsigned tries = 1;; tries++) {
		Attempt<size_t, Error> const size = co_await _exchange(job, command, response);
		if (size.ok()) co_return size;
		(void)co_await _recover(job, size.error());
		if (_committed || !worth_sending_again(size.error()) || tries == SEND_TRIES) co_return size;
		++_counters.command_retries;
	}
}

/* Notes whose command goes on, for as long as it does. */
class Executing
{
private:
	Job const *&_executing;

public:
	Executing(Job const *&executing, Job const &job) : _executing(executing) { _executing = &job; }
	Executing(Executing const &) = delete;
	Executing &operator=(Executing const &) = delete;
	~Executing() { _executing = nullptr; }
};

Task<size_t, Error> Tis::execute(Job &job, Bytes command, Mutable_bytes response)
{
	if (command.size() < HEADER_BYTES || command.size() > MESSAGE_MAX_BYTES)
		co_return Error::COMMAND_SIZE;
	if (load_be<uint32_t>(command.subspan<2, 4>()) != command.size()) co_return Error::COMMAND_SIZE;
	if (response.size() < HEADER_BYTES) co_return Error::BUFFER_TOO_SMALL;

	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await _exclusive.acquire(job));
	if (!_started) co_return Error::NOT_STARTED;
	_cancel = false;
	Executing const executing{_executing, job};
	Attempt<size_t, Error> const size = co_await _exchange_or_retry(job, command, response);
	++(size.ok() ? _counters.commands : _counters.failures);
	if (!_config.keep_locality) (void)co_await _relinquish(job);
	co_return size;
}

bool Tis::cancel(Job const &job)
{
	if (_executing != &job) return false;
	_cancel = true;
	_changed.raise_all();
	return true;
}

Task<void, Error> Tis::_relinquish(Job &job)
{
	if (!_held) co_return Ok{};
	Job::Shield shield{job, deadline_after_us(now_us(job), _config.timeouts.b_us)};
	CO_TRY(co_await _write(job, _address(Register::TPM_ACCESS), access::ACTIVE_LOCALITY, 1));
	_held = false;
	co_return Ok{};
}

Task<void, Error> Tis::relinquish(Job &job)
{
	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await _exclusive.acquire(job));
	co_return co_await _relinquish(job);
}

Task<void, Error> Tis::_probe(Job &job)
{
	Attempt<uint32_t, Error> const valid =
		co_await _await_access(job, access::TPM_REG_VALID_STS, Error::NO_TPM);
	if (!valid.ok()) {
		if (valid.error() == Error::GONE) co_return Error::NO_TPM;
		co_return valid.error();
	}
	CO_TRY_ASSIGN(uint32_t const vendor, co_await _read(job, Register::TPM_DID_VID, 4));
	if (vendor == 0 || vendor == ALL_ONES) co_return Error::NO_TPM;
	CO_TRY_ASSIGN(uint32_t const revision, co_await _read(job, Register::TPM_RID, 1));
	CO_TRY_ASSIGN(uint32_t const interface, co_await _read(job, Register::TPM_INTERFACE_ID, 4));
	CO_TRY_ASSIGN(uint32_t const capability, co_await _read(job, Register::TPM_INTF_CAPABILITY, 4));
	_identity = {.vendor_id = uint16_t(vendor),
		.device_id = uint16_t(vendor >> 16),
		.revision_id = uint8_t(revision),
		.interface_id = interface,
		.interface_capability = capability};
	uint32_t const type = interface & interface_id::TYPE_MASK;
	if (type != interface_id::TYPE_FIFO && type != interface_id::TYPE_TIS)
		co_return Error::NOT_FIFO;
	co_return Ok{};
}

Task<void, Error> Tis::start(Job &job)
{
	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await _exclusive.acquire(job));
	_started = _held = false;
	CO_TRY(co_await _probe(job));
	CO_TRY(co_await _hold_locality(job));

	// The family stands in the status, which only the active locality can read.
	CO_TRY_ASSIGN(uint32_t const status, co_await _get_ready(job));
	bool const tpm2 = sts::tpm_family(status) == 1;
	uint32_t const enabled = _config.interrupts
		? interrupt::GLOBAL_ENABLE | interrupt::TYPE_LOW_LEVEL | interrupt::DATA_AVAIL
		: 0;
	CO_TRY(co_await _write(job, _address(Register::TPM_INT_ENABLE), enabled, 4));
	if (!tpm2 || !_config.keep_locality) CO_TRY(co_await _relinquish(job));
	if (!tpm2) co_return Error::NOT_TPM2;
	_started = true;
	co_return Ok{};
}

} // namespace bulkhead::tpm
