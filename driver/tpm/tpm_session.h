#pragma once

// One opener's view of a TPM as a character device, with the semantics of Linux' /dev/tpm0: a write
// is one command, reads give its response, in pieces if need be; a read without a pending response
// gives 0. Offsets are ignored, so that the file works over 9P and virtiofs, too.

#include "driver/arbiter.h"
#include "driver/char_device.h"
#include "driver/tpm/interface.h"
#include "driver/tpm/registers.h"

namespace bulkhead::tpm {

class Tpm_device;

/*
 * The command runs on a job of the session's own, so that a writer needn't wait for it
 * (O_NONBLOCK), and so that it ends in order if the writer goes away.
 */
class Tpm_session final : public Char_session, public Link<Tpm_session>, private Completion
{
private:
	friend class Tpm_device;

	static constexpr size_t ARENA_BYTES = 6144;

	enum class State : uint8_t {
		IDLE, // takes a command
		EXECUTING,
		RESPONSE, // a response, or the rest of one, is there to be read
		FAILED, // the error is there to be read
		CLOSING, // the interface forgets this opener
	};

	/* Whoever waits for a command; if the waiter vanishes, the command is given up. */
	class Wanted
	{
	private:
		Tpm_session *_session;

	public:
		unsigned const command;

		explicit Wanted(Tpm_session &session) : _session(&session), command(session._command) {}
		Wanted(Wanted &&other) noexcept
			: _session(std::exchange(other._session, nullptr)), command(other.command)
		{}
		Wanted &operator=(Wanted &&) = delete;
		~Wanted()
		{
			if (_session) _session->_abandon(command);
		}

		void settled() { _session = nullptr; }
	};

	Interface &_interface;
	uint64_t const _patience_us;
	Arbiter::Client _client;
	Tpm_device *_device = nullptr; // while it is open
	Job_with_arena<ARENA_BYTES> _job;
	Root _root{};
	State _state = State::IDLE;
	unsigned _command = 0; // counts them, so that nobody takes the next one for its own
	bool _abandoned = false; // nobody wants the response of the command that runs
	bool _closing = false; // the opener has gone
	unsigned _closings = 0; // that have ended
	Error _error{}; // of the command, or of the latest closing
	size_t _size = 0; // of the response
	size_t _read = 0; // bytes of it that were read
	Event _settled{}; // no longer EXECUTING
	Watchers _watchers{};
	uint8_t _buffer[MESSAGE_MAX_BYTES]{}; // the command, then its response

	Root _run(Job &, size_t command_size);
	Root _forget(Job &);
	void completed() override;
	bool _executing(unsigned command) const;
	void _abandon(unsigned command);
	void _drop_response();
	void _begin_to_forget();
	void _end_closing();

	Attempt<void> _begin(Bytes command);
	void _become(State);
	size_t _take(Mutable_bytes to);
	Task<void> _await_settled(Job &, unsigned command);
	Task<size_t> _write_and_wait(Job &, Wanted, size_t size);
	Task<size_t> _write_patiently(Job &, size_t size);
	Task<size_t> _read_later(Job &, Mutable_bytes to);
	Task<void> _await_closed(Job &, unsigned closings);
	Attempt<size_t> _outcome(Mutable_bytes to);

public:
	/*
	 * The interface and the arbiter (that of the device which the session is for) outlive it.
	 *
	 * A nonblocking write returns when the command is done, but after `patience_us` at the latest.
	 * Where asking costs more than waiting (behind FUSE a poll that has to be told later costs
	 * three more round trips), a little patience makes short commands much faster.
	 */
	Tpm_session(
		Executor &executor, Interface &interface, Arbiter &arbiter, uint64_t patience_us = 0);

	/* One that is open still loses its device; what the TPM does for it the next command ends. */
	~Tpm_session();

	/* Errors: WOULD_BLOCK (the command is executed still), those of the command, once. */
	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override;

	/*
	 * Waits until the command has been executed, or hands it over (nonblocking). Errors:
	 * INVALID (not a command: below 10 bytes, or its header's size is larger), TOO_LONG (above 4096
	 * bytes), BUSY (a command is executed, or nothing of its response was read; what is left of one
	 * is dropped), those of the command. A writer that is cancelled, or vanishes, cancels its
	 * command.
	 */
	Task<size_t> write(Job &job, Bytes from, Io io) override;

	/* Errors: those of `write`, and BUSY if another job has read this session's response. */
	Task<size_t> transact(Job &job, Bytes out, Mutable_bytes in) override;

	/* CANCEL: the command in this session ends with TPM_RC_CANCELED. */
	Task<void> act(Job &job, Action action) override;

	Readiness readiness() const override;
	void watch(Watcher &watcher) override { _watchers.add(watcher); }

	/*
	 * Goes on, on the session's own job, even if the caller has no frames or patience left: the TPM
	 * is idle and the opener forgotten before the next one gets the session.
	 */
	Task<void> close(Job &job) override;
};

} // namespace bulkhead::tpm
