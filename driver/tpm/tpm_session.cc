#include "driver/tpm/tpm_session.h"

#include "driver/tpm/tpm_device.h"

namespace bulkhead::tpm {

Tpm_session::Tpm_session(
	Executor &executor, Interface &interface, Arbiter &arbiter, uint64_t patience_us)
	: _interface(interface), _patience_us(patience_us), _client(arbiter), _job(executor)
{}

Tpm_session::~Tpm_session()
{
	_root = Root();
	fill_bytes(_buffer, 0);
	if (_device) _device->_closed(*this);
}

/* Readers and pollers learn of every change. */
void Tpm_session::_become(State state)
{
	_state = state;
	if (state != State::EXECUTING) _settled.raise_all();
	_watchers.notify();
}

Root Tpm_session::_run(Job &job, size_t command_size)
{
	Attempt<size_t, Error> const size =
		co_await _interface.execute(job, std::span(_buffer).first(command_size), _buffer);
	_error = size.ok() ? Error{} : size.error();
	_size = size.ok() ? size.value() : 0;
	_read = 0;
}

Root Tpm_session::_forget(Job &job)
{
	Attempt<void, Error> const forgotten = co_await _interface.forget(job);
	_error = forgotten.ok() ? Error{} : forgotten.error();
}

/* The coroutine has ended and can go. */
void Tpm_session::completed()
{
	_root = Root();
	_job.reset();
	if (_state == State::CLOSING) return _end_closing();
	bool const abandoned = std::exchange(_abandoned, false);
	if (abandoned) fill_bytes(_buffer, 0);
	if (_closing) return _begin_to_forget();
	_become(abandoned ? State::IDLE : _size ? State::RESPONSE : State::FAILED);
}

bool Tpm_session::_executing(unsigned command) const
{
	return _state == State::EXECUTING && _command == command;
}

/* Nobody waits for the command any more. */
void Tpm_session::_abandon(unsigned command)
{
	if (!_executing(command)) return;
	_abandoned = true;
	_job.cancel();
}

void Tpm_session::_drop_response()
{
	fill_bytes(_buffer, 0);
	_become(State::IDLE);
}

void Tpm_session::_begin_to_forget()
{
	_closing = true;
	_state = State::CLOSING;
	fill_bytes(_buffer, 0);
	_root = _forget(_job);
	if (!_root.start(_job, this).ok()) {
		_error = Error::OUT_OF_FRAMES;
		_end_closing();
	}
}

void Tpm_session::_end_closing()
{
	_closing = false;
	++_closings;
	_state = State::IDLE;
	_device->_closed(*this);
	_settled.raise_all();
}

Attempt<void> Tpm_session::_begin(Bytes command)
{
	if (command.size() > MESSAGE_MAX_BYTES) return bulkhead::Error::TOO_LONG;
	if (command.size() < HEADER_BYTES) return bulkhead::Error::INVALID;
	size_t const size = load_be<uint32_t>(command.subspan<2, 4>());
	if (size < HEADER_BYTES || size > command.size()) return bulkhead::Error::INVALID;
	// As on Linux, only a response of which nothing was read is protected.
	bool const begun_to_read = _state == State::RESPONSE && _read > 0;
	if (_state != State::IDLE && !begun_to_read) return bulkhead::Error::BUSY;

	// As on Linux, what is written behind the end of the command is ignored.
	copy_bytes(_buffer, command.first(size));
	_root = _run(_job, size);
	TRY(_root.start(_job, this));
	++_command;
	_become(State::EXECUTING);
	return Ok{};
}

/* What was read is wiped, and when all was read, a new command is welcome. */
size_t Tpm_session::_take(Mutable_bytes to)
{
	Mutable_bytes const rest = std::span(_buffer).subspan(_read, _size - _read);
	size_t const n = copy_bytes(to, rest);
	fill_bytes(rest.first(n), 0);
	_read += n;
	if (_read == _size) _become(State::IDLE);
	return n;
}

Task<void> Tpm_session::_await_settled(Job &job, unsigned command)
{
	while (_executing(command)) CO_TRY(co_await _settled.wait(job));
	co_return Ok{};
}

/* The error of a command is told once. */
Attempt<size_t> Tpm_session::_outcome(Mutable_bytes to)
{
	if (_state == State::FAILED) {
		_become(State::IDLE);
		return Failure{_error};
	}
	if (_state != State::RESPONSE) return size_t(0);
	return _take(to);
}

Task<size_t> Tpm_session::_write_and_wait(Job &job, Wanted wanted, size_t size)
{
	unsigned const command = wanted.command;
	Attempt<void> const settled = co_await _await_settled(job, command);
	if (!settled.ok()) {
		_abandon(command);
		// The driver's own time-outs bound how long the TPM may take to let go.
		Job::Shield const shield{job, NEVER_US};
		(void)co_await _await_settled(job, command);
	}
	wanted.settled();
	if (!settled.ok()) co_return settled.error();
	if (_state == State::FAILED && _command == command) co_return _outcome({});
	co_return size;
}

/* The command goes on, whatever ends the patience. */
Task<size_t> Tpm_session::_write_patiently(Job &job, size_t size)
{
	uint64_t const now_us = job.executor.clock.now_us();
	Job::Deadline const patience{job, deadline_after_us(now_us, _patience_us)};
	(void)co_await _await_settled(job, _command);
	co_return size;
}

Task<size_t> Tpm_session::write(Job &job, Bytes from, Io io)
{
	Attempt<void> const begun = _begin(from);
	if (!begun.ok()) return begun.error();
	if (io.nonblocking && _patience_us) return _write_patiently(job, from.size());
	if (io.nonblocking) return from.size();
	return _write_and_wait(job, Wanted{*this}, from.size());
}

Task<size_t> Tpm_session::_read_later(Job &job, Mutable_bytes to)
{
	// Another job may read first, and write the next command.
	while (_state == State::EXECUTING) CO_TRY(co_await _await_settled(job, _command));
	co_return _outcome(to);
}

Task<size_t> Tpm_session::read(Job &job, Mutable_bytes to, Io io)
{
	if (_state != State::EXECUTING) return _outcome(to);
	if (io.nonblocking) return bulkhead::Error::WOULD_BLOCK;
	return _read_later(job, to);
}

Task<size_t> Tpm_session::transact(Job &job, Bytes out, Mutable_bytes in)
{
	CO_TRY(_begin(out));
	unsigned const command = _command;
	CO_TRY(co_await _write_and_wait(job, Wanted{*this}, out.size()));
	if (_state != State::RESPONSE || _command != command) co_return bulkhead::Error::BUSY;
	if (_size > in.size()) {
		_drop_response();
		co_return bulkhead::Error::TOO_LONG;
	}
	co_return _take(in);
}

Task<void> Tpm_session::act(Job &, Action action)
{
	if (action != Action::CANCEL) return bulkhead::Error::NOT_SUPPORTED;
	// A command that still waits for its turn has nothing to cancel at the TPM: it ends as it is.
	if (_state == State::EXECUTING && !_interface.cancel(_job)) _job.cancel();
	return Ok{};
}

Readiness Tpm_session::readiness() const
{
	return {.readable = _state == State::RESPONSE || _state == State::FAILED,
		.writable = _state == State::IDLE};
}

Task<void> Tpm_session::_await_closed(Job &job, unsigned closings)
{
	Job::Shield const shield{job, NEVER_US};
	while (_closings == closings) CO_TRY(co_await _settled.wait(job));
	if (_error != Error{}) co_return Failure{_error};
	co_return Ok{};
}

Task<void> Tpm_session::close(Job &job)
{
	BULKHEAD_ASSERT(!_closing);
	unsigned const closings = _closings;
	_closing = true;
	if (_state == State::EXECUTING)
		_abandon(_command);
	else
		_begin_to_forget();
	return _await_closed(job, closings);
}

} // namespace bulkhead::tpm
