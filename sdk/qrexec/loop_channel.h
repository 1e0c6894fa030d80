#pragma once

// A data connection whose channel a broker has made, in a Loop: streams and an exit code, with as
// few system calls as a channel needs. Either side of a call.

#include "base/event.h"
#include "base/task.h"
#include "platform/linux/loop.h"
#include "platform/linux/vchan/channel.h"
#include "rpc/qrexec/data_reader.h"
#include "sdk/qrexec/side.h"
#include "vchan/ring.h"

#include <functional>
#include <memory>

namespace bulkhead::qrexec {

/*
 * Belongs to the loop's thread. One job reads, one writes; they may be the same. The caller reads
 * standard output and writes standard input, the service the other way round; what a service writes
 * to standard error is given to `errors`, if somebody has asked for it, and else thrown away.
 *
 * What is written goes out when its job waits here, at the end of its turn in the loop, or when it
 * has become much: a few small pieces wake the other side once. Nobody has to wait for `opened`
 * before he writes.
 *
 * Errors of all: CANCELLED, TIMEOUT (microseconds of the loop's clock), OUT_OF_FRAMES, BROKEN_PIPE
 * (the other side has closed or died), IO (it has broken the protocol). Without a channel: INVALID.
 */
class Loop_channel final
{
private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	/* What one read or commit may have at most. */
	static constexpr size_t PIECE_MAX = CHUNK_MAX;

	explicit Loop_channel(linux_host::Loop &loop);
	/* Closes; what was written before can still be read. No task is left. */
	~Loop_channel();
	Loop_channel(Loop_channel const &) = delete;
	Loop_channel &operator=(Loop_channel const &) = delete;

	/*
	 * Takes up an end that a broker has made, whom we trust to have sealed its memory; closes the
	 * one it had. Errors: INVALID (no channel), OUT_OF_MEMORY, TOO_MANY_OPEN.
	 */
	Attempt<void> adopt(linux_host::Channel_end end, Side side);

	/* Until the other side has greeted, too. */
	Task<size_t> opened(Job &job, uint64_t until_us = NEVER_US);

	/* At least a byte; 0: the stream has ended. */
	Task<size_t> read(Job &job, Mutable_bytes to, uint64_t until_us = NEVER_US);

	/* All of it. BROKEN_PIPE: what the other side had said before can still be read. */
	Task<size_t> write(Job &job, Bytes from, uint64_t until_us = NEVER_US);

	/* Ends what this side sends. */
	Task<size_t> finish(Job &job, uint64_t until_us = NEVER_US);

	/* Caller: what the service has ended with; what it still sends is thrown away. */
	Task<int> exit_code(Job &job, uint64_t until_us = NEVER_US);

	/* Service: ends its streams and sends the code, the last that it does. */
	Task<size_t> exit(Job &job, int code, uint64_t until_us = NEVER_US);

	/* Service: a line for the caller's standard error; what doesn't fit now is lost. */
	void complain(std::string_view text);

	/* Caller: who gets what the service complains about; bytes that change while one looks. */
	void errors(std::function<void(Bytes)> taker);

	/*
	 * Without copies, for protocols of many small messages: the bytes that are there (empty: none
	 * now), of which some are taken; and room for `max` bytes to write (fewer: no more now; at most
	 * PIECE_MAX), of which some are committed, before anything else is written or awaited. `peek`
	 * goes across the borders of chunks only after a `consume` of all that it has shown. The other
	 * side may change what is shown while one looks: copy before you check.
	 */
	Attempt<Bytes> peek();
	void consume(size_t bytes);
	vchan::Pieces<Mutable_bytes> reserve(size_t max);
	void commit(size_t bytes);

	/* Until there is something to peek at: how much; 0: the stream has ended. */
	Task<size_t> wait_for_data(Job &job, uint64_t until_us = NEVER_US);
	/* Until so many bytes can be written: at most PIECE_MAX and a quarter of the ring. */
	Task<size_t> wait_for_room(Job &job, size_t bytes, uint64_t until_us = NEVER_US);

	/* Sends what was written and gives back what was read, now. */
	void flush();

	/* Gives the end up, as its own end does; it may adopt another. No task is left. */
	void close();

	/* Ends it at once; those who wait have CANCELLED. */
	void cancel();

	/*
	 * Has `closed` called once, when this gives up the end that it has now: by `cancel`, `close`,
	 * the next `adopt` or its own end.
	 */
	void when_closed(std::function<void()> closed);
};

} // namespace bulkhead::qrexec
