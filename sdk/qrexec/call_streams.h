#pragma once

// A call whose streams are read one by one, in any order: what comes for one while another is read
// is kept, up to a limit. The interface in C and the coroutines are thin on top of it.

#include "sdk/qrexec/call.h"

namespace bulkhead::qrexec {

/*
 * Results are a count, or a negative number of <errno.h>: EAGAIN (not now), ENOBUFS (nothing can
 * come of this stream before another is read, of which KEPT_MAX bytes are kept), once REFUSED or
 * FAILED `Call::error_number`. Nothing blocks but `wait`. Belongs to one thread.
 */
class Call_streams
{
public:
	static constexpr size_t KEPT_MAX = 65536; // of a stream

	/* What may be waited for, besides the call's state. */
	static constexpr unsigned OUTPUT = 1;
	static constexpr unsigned ERRORS = 2;
	static constexpr unsigned INPUT = 4;

private:
	struct Kept
	{
		std::string bytes{};
		size_t taken = 0; // of them
		bool ended = false;

		size_t size() const { return bytes.size() - taken; }
		void keep(Bytes more);
		size_t take(Mutable_bytes to);
	};

	Call _call{};
	bool const _keeps_errors;
	Kept _output{};
	Kept _errors{};
	uint64_t _news = 0;

	Kept &_kept(Stream stream) { return stream == Stream::ERR ? _errors : _output; }
	ssize_t _end() const;
	ssize_t _pump(Stream wanted, Mutable_bytes to);
	bool _readable(Stream stream);
	unsigned _ready(unsigned reasons);

public:
	/* Without `keeps_errors` what the service writes there is thrown away. */
	explicit Call_streams(bool keeps_errors = true) : _keeps_errors(keeps_errors) {}

	/* To be started, looked at, and cancelled; it is read here only. */
	Call &call() { return _call; }
	Call const &call() const { return _call; }

	/*
	 * Counted up by what those who wait for another stream, or for the end, are not told by the
	 * call's descriptor, since a read has taken it in.
	 */
	uint64_t news() const { return _news; }

	/* Reads at least a byte of OUT or ERR; 0: the stream has ended. */
	ssize_t read(Stream stream, Mutable_bytes to);

	/* Writes at least a byte of standard input. Also: EPIPE (nobody takes it any more). */
	ssize_t write(Bytes from);

	/* Ends standard input: 0. Also: EPIPE. */
	ssize_t finish_input();

	/* 0 while OPEN. */
	ssize_t opened() const;

	/* 0 once ENDED. What comes before the exit code is kept. */
	ssize_t ended();

	/*
	 * Has the call's descriptor become readable when one of these may be there, or the state
	 * changes. Returns those that are there already.
	 */
	unsigned arm(unsigned reasons);

	/*
	 * Blocks until there is something to look at, and looks. 0; or ETIMEDOUT (microseconds of
	 * CLOCK_MONOTONIC), EINTR.
	 */
	int wait(uint64_t until_us);
};

} // namespace bulkhead::qrexec
