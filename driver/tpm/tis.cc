#include "driver/tpm/tis.h"

namespace bulkhead::tpm {

static constexpr unsigned SEND_TRIES = 3;
static constexpr unsigned RECEIVE_TRIES = 3;
static constexpr uint64_t INSIST_US = 10'000; // what had no effect until then is written again
static constexpr uint64_t LOST_INTERRUPT_US = 100'000; // so long one that doesn't come is believed
static constexpr uint32_t AVAILABLE = sts::STS_VALID | sts::DATA_AVAIL;

// What an inactive locality and an empty bus read as.
static constexpr uint32_t ALL_ONES = 0xffff'ffff;

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

static size_t size_of(Register at) { return at == Register::TPM_ACCESS ? 1 : 4; }

/* What the register reads as if nobody is there. */
static uint32_t absent(Register at) { return at == Register::TPM_ACCESS ? 0xff : ALL_ONES; }

/* Whether the TPM has said for certain that the message is over. */
static bool over(uint32_t status, uint32_t more)
{
	return more && (status & sts::STS_VALID) && !(status & more);
}

inline bool Tis::Ask::met(uint32_t read) const
{
	if (read == absent(at)) return false;
	if (all) return (read & all) == all;
	return sts::burst_count(read) || over(read, more);
}

void Tis::Fifo_bytes::advance(size_t n)
{
	if (sent)
		sent += n;
	else
		received += n;
	left -= n;
	begun = true;
}

Tis::Tis(Register_access &access, Tis_config const &config) : _access(access), _config(config)
{
	BULKHEAD_ASSERT(config.locality < LOCALITIES);
}

inline uint16_t Tis::_address(Register at) const
{
	return uint16_t(_config.locality * LOCALITY_BYTES + uint16_t(at));
}

inline Task<uint32_t, Error> Tis::_read(Job &job, Register at)
{
	size_t const size = size_of(at);
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

inline Task<void, Error> Tis::_write(Job &job, Register at, uint32_t value, size_t size)
{
	store_le<uint32_t>(_word, value);
	return _access.write(job, _address(at), std::span(_word).first(size));
}

/* Why is the status not what it should be? The access register knows. */
Error Tis::_cause(uint32_t access, Error otherwise)
{
	if (access == 0xff || !(access & access::TPM_REG_VALID_STS)) return Error::GONE;
	if (access & access::ACTIVE_LOCALITY) return otherwise;
	if (_held) ++_counters.localities_lost;
	_held = false;
	return Error::LOCALITY_LOST;
}

/* Yields what the register read when it showed what is asked for. */
Task<uint32_t, Error> Tis::_ask(Job &job, Ask const &ask)
{
	_written = _interrupted = false;
	if (!ask.value || ask.insist) return _look(job, ask);
	Task<void, Error> write = _write(job, ask.to, ask.value);
	if (!write.ready()) return _look_after(job, std::move(write), ask);
	if (Attempt<void, Error> const done = write.take(); !done.ok()) return done.error();
	_written = true;
	return _look(job, ask);
}

Task<uint32_t, Error> Tis::_look_after(Job &job, Task<void, Error> write, Ask ask)
{
	CO_TRY(co_await write);
	_written = true;
	co_return co_await _look(job, ask);
}

/* Mostly the first look is the last one, and nothing has to be waited for. */
Task<uint32_t, Error> Tis::_look(Job &job, Ask const &ask)
{
	Task<uint32_t, Error> look = _read(job, ask.at);
	if (!look.ready()) return _look_again(job, std::move(look), ask);
	Attempt<uint32_t, Error> const value = look.take();
	if (!value.ok() || ask.met(value.value())) return value;
	return _look_again(job, value, ask);
}

Task<uint32_t, Error> Tis::_look_again(Job &job, Task<uint32_t, Error> first, Ask ask)
{
	uint64_t const deadline_us = deadline_after_us(now_us(job), ask.timeout_us);
	bool const status = ask.at == Register::TPM_STS;
	bool const by_interrupt = ask.interruptible && _config.interrupts;
	uint64_t insist_us = INSIST_US / 2;
	uint64_t insist_at_us = 0;
	Backoff backoff;
	CO_TRY_ASSIGN(uint32_t value, co_await first);
	while (true) {
		if (ask.met(value)) co_return value;
		if (ask.interruptible && _cancel) co_return Error::COMMAND_CANCELLED;
		bool const nobody = value == absent(ask.at);
		uint64_t const time_us = now_us(job);
		bool const late = time_us >= deadline_us;
		if (late && !status) co_return nobody ? Error::GONE : ask.late;

		bool const doubtful = status && (late || nobody);
		bool const insists = ask.insist && !doubtful && time_us >= insist_at_us;
		// An interrupt while the status was on its way may have come too late for it.
		bool const missed = by_interrupt && _interrupted;
		uint64_t const pause_us = doubtful || insists || missed ? 0
			: by_interrupt                                      ? LOST_INTERRUPT_US
																: backoff.next_us();
		if (pause_us) {
			uint64_t const until_us = std::min(deadline_us, deadline_after_us(time_us, pause_us));
			Attempt<void> const woken = co_await _changed.wait(job, until_us);
			bool const by_caller = job.limit_us() <= until_us;
			if (!woken.ok() && (woken.error() == bulkhead::Error::CANCELLED || by_caller))
				co_return Failure{woken.error()};
		} else if (insists) {
			insist_us *= 2; // a chip that starts anew each time must get ready in between
			insist_at_us = time_us + insist_us;
			CO_TRY(co_await _write(job, ask.to, ask.value));
		}
		_interrupted = false;
		CO_TRY_ASSIGN(value, co_await _read(job, doubtful ? Register::TPM_ACCESS : ask.at));
		if (doubtful) co_return _cause(value, late ? ask.late : Error::STATUS_INVALID);
	}
}

/*
 * Requests the locality, which does nothing if it is active already. A request that is not granted
 * is withdrawn by `_settle`: later on it would be granted to nobody.
 */
Task<void, Error> Tis::_hold_locality(Job &job)
{
	constexpr uint8_t GRANTED = access::TPM_REG_VALID_STS | access::ACTIVE_LOCALITY;
	uint64_t const a_us = _config.timeouts.a_us;
	bool const seize = _config.seize;
	for (uint8_t request = access::REQUEST_USE;; request = access::SEIZE) {
		bool const last = request == access::SEIZE || !seize;
		Attempt<uint32_t, Error> const held = co_await _ask(job,
			{.to = Register::TPM_ACCESS,
				.value = request,
				.at = Register::TPM_ACCESS,
				.all = GRANTED,
				.timeout_us = last ? a_us : 0,
				.late = Error::LOCALITY_DENIED});
		_held = held.ok();
		if (held.ok()) co_return Ok{};
		if (last || held.error() != Error::LOCALITY_DENIED) co_return Failure{held.error()};
	}
}

Task<void, Error> Tis::_access_fifo(Job &job, Fifo_bytes const &bytes, size_t size)
{
	uint16_t const fifo = _address(Register::TPM_DATA_FIFO);
	if (bytes.sent) return _access.write(job, fifo, {bytes.sent, size});
	return _access.read(job, fifo, {bytes.received, size});
}

/* Yields the status, in which what is left of the burst count stands for what comes next. */
Task<uint32_t, Error> Tis::_move(Job &job, uint32_t status, Fifo_bytes bytes)
{
	bool const sending = bytes.sent;
	uint32_t const more = sending ? sts::EXPECT : sts::DATA_AVAIL;
	while (bytes.left) {
		size_t const n =
			std::min({size_t(sts::burst_count(status)), bytes.left, _access.size_max()});
		if (n) {
			CO_TRY(co_await _access_fifo(job, bytes, n));
			bytes.advance(n);
			status -= uint32_t(n) << sts::BURST_COUNT_SHIFT;
		} else {
			CO_TRY_ASSIGN(status,
				co_await _ask(job,
					{.more = bytes.begun ? more : 0,
						.timeout_us = _config.timeouts.a_us,
						.late = Error::NO_BURST}));
			if (bytes.begun && over(status, more))
				co_return sending ? Error::COMMAND_CUT : Error::RESPONSE_CUT;
		}
	}
	if (!bytes.last) co_return status;
	CO_TRY_ASSIGN(status,
		co_await _ask(job,
			{.all = sts::STS_VALID,
				.timeout_us = _config.timeouts.c_us,
				.late = Error::STATUS_INVALID}));
	if (status & more) co_return sending ? Error::COMMAND_LONG : Error::RESPONSE_LONG;
	co_return status;
}

Task<size_t, Error> Tis::_receive(Job &job, uint32_t status, Mutable_bytes response)
{
	Fifo_bytes bytes{.sent = nullptr,
		.received = response.data(),
		.left = HEADER_BYTES,
		.begun = true,
		.last = false};
	while (true) {
		CO_TRY_ASSIGN(status, co_await _move(job, status, bytes));
		size_t const size = load_be<uint32_t>(response.subspan<2, 4>());
		if (bytes.last) co_return size;
		if (size < HEADER_BYTES || size > MESSAGE_MAX_BYTES) co_return Error::RESPONSE_MALFORMED;
		if (size > response.size()) co_return Error::BUFFER_TOO_SMALL;
		bytes.received = response.data() + HEADER_BYTES;
		bytes.left = size - HEADER_BYTES;
		bytes.last = true;
	}
}

static bool worth_reading_again(Error error)
{
	return error == Error::RESPONSE_MALFORMED || error == Error::RESPONSE_CUT ||
		error == Error::RESPONSE_LONG;
}

/* Whether the TPM works on a command still that it should give up. */
static bool gives_up(Error error)
{
	return error == Error::CANCELLED || error == Error::TIMEOUT ||
		error == Error::DURATION_EXCEEDED || error == Error::COMMAND_CANCELLED;
}

/* After commandCancel the TPM has TIMEOUT_B to come up with a response, whichever it is. */
Task<uint32_t, Error> Tis::_cancel_command(Job &job, Error why)
{
	constexpr Register LAST_BYTE = Register(uint16_t(Register::TPM_STS) + 3);
	uint64_t const b_us = _config.timeouts.b_us;
	++_counters.cancels;
	Job::Shield const shield{job, deadline_after_us(now_us(job), 2 * b_us)};
	Attempt<uint32_t, Error> const status = co_await _ask(job,
		{.to = LAST_BYTE,
			.value = sts::COMMAND_CANCEL >> 24,
			.all = AVAILABLE,
			.timeout_us = b_us,
			.late = Error::HUNG});
	// Only whoever cancelled the command itself, not its job, is to see the response.
	if (why == Error::COMMAND_CANCELLED && status.ok()) co_return status;
	if (why == Error::DURATION_EXCEEDED && !status.ok()) co_return status;
	co_return why;
}

Task<size_t, Error> Tis::_exchange(Job &job, Bytes command, Mutable_bytes response)
{
	_committed = false;
	if (!_held) CO_TRY(co_await _hold_locality(job));

	// Mostly it is ready already. What it does else is given up: that may need one write to end it,
	// and one to begin.
	CO_TRY_ASSIGN(uint32_t status,
		co_await _ask(job,
			{.value = sts::COMMAND_READY,
				.insist = true,
				.all = sts::COMMAND_READY,
				.timeout_us = _config.timeouts.b_us,
				.late = Error::NOT_READY}));
	CO_TRY_ASSIGN(status,
		co_await _move(job, status,
			{.sent = command.data(),
				.received = nullptr,
				.left = command.size(),
				.begun = false,
				.last = true}));

	_committed = true;
	uint32_t const code = load_be<uint32_t>(command.subspan<6, 4>());
	Ask response_there{.value = sts::TPM_GO,
		.interruptible = true,
		.all = AVAILABLE,
		.timeout_us = duration_us(code),
		.late = Error::DURATION_EXCEEDED};
	for (unsigned tries = 1;; tries++) {
		Attempt<uint32_t, Error> there = co_await _ask(job, response_there);
		if (!there.ok() && _written && gives_up(there.error()))
			there = co_await _cancel_command(job, there.error());
		if (!there.ok()) co_return there.error();
		Attempt<size_t, Error> const size = co_await _receive(job, there.value(), response);
		if (size.ok() || !worth_reading_again(size.error()) || tries == RECEIVE_TRIES)
			co_return size;
		++_counters.response_retries;
		response_there = {.value = sts::RESPONSE_RETRY,
			.all = AVAILABLE,
			.timeout_us = _config.timeouts.c_us,
			.late = size.error()};
	}
}

/*
 * After a command, however it went: the TPM gives up what it does, the interrupt is acknowledged,
 * and the locality is given up. What can't be written here the next command puts right.
 */
Task<void, Error> Tis::_settle(Job &job, bool relinquish)
{
	if (relinquish) _held = false;
	if (relinquish || _config.interrupts) return _settle_slowly(job, relinquish);
	return _write(job, Register::TPM_STS, sts::COMMAND_READY);
}

Task<void, Error> Tis::_settle_slowly(Job &job, bool relinquish)
{
	struct
	{
		Register to;
		uint8_t value;
		bool due;
	} const writes[] = {
		{Register::TPM_STS, sts::COMMAND_READY, true},
		{Register::TPM_INT_STATUS, interrupt::DATA_AVAIL, _config.interrupts},
		{Register::TPM_ACCESS, access::ACTIVE_LOCALITY, relinquish},
	};
	for (auto const &write : writes)
		if (write.due) (void)co_await _write(job, write.to, write.value);
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

Task<size_t, Error> Tis::_execute(Job &job, Bytes command, Mutable_bytes response)
{
	if (!_started) co_return Error::NOT_STARTED;
	_cancel = false;
	Executing const executing{_executing, job};
	for (unsigned tries = 1;; tries++) {
		Attempt<size_t, Error> const size = co_await _exchange(job, command, response);
		bool const gone = !size.ok() && size.error() == Error::GONE;
		{
			Job::Shield const shield{job, deadline_after_us(now_us(job), _config.timeouts.b_us)};
			(void)co_await _settle(job, !_held || gone || !_config.keep_locality);
		}
		++(size.ok() ? _counters.commands : _counters.failures);
		if (size.ok() || _committed || !worth_sending_again(size.error()) || tries == SEND_TRIES)
			co_return size;
		--_counters.failures;
		++_counters.command_retries;
	}
}

Task<size_t, Error> Tis::_exclusively(Job &job, Task<size_t, Error> task)
{
	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await _exclusive.acquire(job));
	co_return co_await task;
}

Task<size_t, Error> Tis::execute(Job &job, Bytes command, Mutable_bytes response)
{
	if (command.size() < HEADER_BYTES || command.size() > MESSAGE_MAX_BYTES)
		return Error::COMMAND_SIZE;
	if (load_be<uint32_t>(command.subspan<2, 4>()) != command.size()) return Error::COMMAND_SIZE;
	if (response.size() < HEADER_BYTES) return Error::BUFFER_TOO_SMALL;
	return _exclusively(job, _execute(job, command, response));
}

bool Tis::cancel(Job const &job)
{
	if (_executing != &job) return false;
	_cancel = true;
	_changed.raise_all();
	return true;
}

Task<void, Error> Tis::_without_value(Job &, Task<size_t, Error> task)
{
	CO_TRY(co_await task);
	co_return Ok{};
}

Task<size_t, Error> Tis::_relinquish(Job &job)
{
	if (_held) (void)co_await _settle(job, true);
	co_return size_t(0);
}

Task<void, Error> Tis::relinquish(Job &job)
{
	return _without_value(job, _exclusively(job, _relinquish(job)));
}

/* Reads what the chip says of itself, and takes the locality in which it is to be used. */
Task<size_t, Error> Tis::_probe(Job &job)
{
	constexpr Register REGISTERS[] = {Register::TPM_DID_VID, Register::TPM_RID,
		Register::TPM_INTERFACE_ID, Register::TPM_INTF_CAPABILITY};
	Attempt<uint32_t, Error> const valid = co_await _ask(job,
		{.at = Register::TPM_ACCESS,
			.all = access::TPM_REG_VALID_STS,
			.timeout_us = _config.timeouts.a_us,
			.late = Error::NO_TPM});
	if (!valid.ok()) co_return valid.error() == Error::GONE ? Error::NO_TPM : valid.error();
	uint32_t values[std::size(REGISTERS)];
	for (size_t i = 0; i < std::size(REGISTERS); i++) {
		CO_TRY_ASSIGN(values[i], co_await _read(job, REGISTERS[i]));
	}
	_identity = {.vendor_id = uint16_t(values[0]),
		.device_id = uint16_t(values[0] >> 16),
		.revision_id = uint8_t(values[1]),
		.interface_id = values[2],
		.interface_capability = values[3]};
	uint32_t const type = _identity.interface_id & interface_id::TYPE_MASK;
	if (_identity.vendor_id == 0 || _identity.vendor_id == 0xffff) co_return Error::NO_TPM;
	if (type != interface_id::TYPE_FIFO && type != interface_id::TYPE_TIS)
		co_return Error::NOT_FIFO;

	// The family stands in the status, which only the active locality can read.
	CO_TRY(co_await _hold_locality(job));
	CO_TRY_ASSIGN(uint32_t const status,
		co_await _ask(job,
			{.value = sts::COMMAND_READY,
				.insist = true,
				.all = sts::COMMAND_READY,
				.timeout_us = _config.timeouts.b_us,
				.late = Error::NOT_READY}));
	if (sts::tpm_family(status) != 1) co_return Error::NOT_TPM2;
	uint32_t const enabled = _config.interrupts
		? interrupt::GLOBAL_ENABLE | interrupt::TYPE_LOW_LEVEL | interrupt::DATA_AVAIL
		: 0;
	CO_TRY(co_await _write(job, Register::TPM_INT_ENABLE, enabled, 4));
	co_return size_t(0);
}

Task<size_t, Error> Tis::_start(Job &job)
{
	_started = _held = false;
	Attempt<size_t, Error> const probed = co_await _probe(job);
	_started = probed.ok();
	if (!_started || !_config.keep_locality) {
		Job::Shield const shield{job, deadline_after_us(now_us(job), _config.timeouts.b_us)};
		(void)co_await _settle(job, true);
	}
	co_return probed;
}

Task<void, Error> Tis::start(Job &job)
{
	return _without_value(job, _exclusively(job, _start(job)));
}

} // namespace bulkhead::tpm
