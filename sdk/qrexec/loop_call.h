#pragma once

// Calls in a Loop: jobs that make them, and jobs that serve them.
//
//	Loop_call call(loop);
//	CO_TRY(co_await call.start(job, {.target = "vault", .service = "sign.Document"}));
//	CO_TRY(co_await call.write(job, document));
//	CO_TRY(co_await call.finish_input(job));
//	CO_TRY_ASSIGN(size_t const n, co_await call.read(job, Stream::OUT, buffer)); // 0: the end
//	CO_TRY_ASSIGN(int const code, co_await call.exit_code(job));

#include "base/event.h"
#include "base/task.h"
#include "platform/linux/loop.h"
#include "sdk/qrexec/call_streams.h"
#include "sdk/qrexec/service_socket.h"

namespace bulkhead::qrexec {

/*
 * Belongs to the loop's thread. One job writes, one reads each stream, one waits for the end; they
 * may all be the same. Errors of all: CANCELLED (the job, or the call), TIMEOUT (microseconds of
 * the loop's clock; or the service's side hasn't come in time), OUT_OF_FRAMES, DENIED (refused),
 * NOT_FOUND (no agent or daemon), BROKEN_PIPE (the other side has gone), and what else
 * `Call::error_number` stands for; `message` tells more.
 */
class Loop_call final : private linux_host::Loop::Source
{
private:
	linux_host::Loop &_runner;
	Call_streams _streams;
	Event _changed{};
	unsigned _readers = 0;

	void ready(uint32_t events) override;

	template <typename ATTEMPT>
	Task<size_t> _until(Job &job, bool to_read, bool to_write, uint64_t until_us, ATTEMPT attempt);

public:
	/* As Call_streams. The loop outlives it, and it the jobs that wait in it. */
	explicit Loop_call(linux_host::Loop &loop, bool keeps_errors = true)
		: _runner(loop), _streams(keeps_errors)
	{}

	/* Asks, and waits until the service's side is there. Once. What is wanted is copied at once. */
	Task<size_t> start(Job &, Wanted_call const &wanted, uint64_t until_us = NEVER_US);

	/*
	 * At least a byte of OUT or ERR; 0: the stream has ended. Error: IO (nothing comes before
	 * `Call_streams::KEPT_MAX` bytes of the other stream are read, and no job reads it).
	 */
	Task<size_t> read(Job &, Stream stream, Mutable_bytes to, uint64_t until_us = NEVER_US);

	/* All of it. BROKEN_PIPE also: the service takes no more. */
	Task<size_t> write(Job &, Bytes from, uint64_t until_us = NEVER_US);
	Task<size_t> finish_input(Job &, uint64_t until_us = NEVER_US);

	/* Of the service, once it has ended; what was not read by then is kept, up to a limit. */
	Task<int> exit_code(Job &, uint64_t until_us = NEVER_US);

	/* Ends it at once: jobs that wait have CANCELLED. */
	void cancel();

	Call::State state() const { return _streams.call().state(); }
	/* What a program should return where `exit_code` has failed. */
	int failure_code() const { return _streams.call().exit_code(); }
	std::string const &message() const { return _streams.call().message(); }
};

/* A service in a Loop. */
class Service_listener final : private linux_host::Loop::Source
{
private:
	linux_host::Loop &_runner;
	Service_socket _socket{};
	Event _changed{};

	void ready(uint32_t events) override;

public:
	explicit Service_listener(linux_host::Loop &loop) : _runner(loop) {}
	~Service_listener() { _runner.remove(*this); }

	/* As `Service_socket::listen`, with its errno as an error. */
	Attempt<void> listen(std::string const &path, mode_t mode = 0600, bool descriptor = true);

	/* The next call. One job at a time. Errors: CANCELLED, TIMEOUT, OUT_OF_FRAMES, TOO_MANY_OPEN.
	 */
	Task<std::unique_ptr<Service_request>> accept(Job &, uint64_t until_us = NEVER_US);

	std::string const &message() const { return _socket.message(); }
};

} // namespace bulkhead::qrexec
