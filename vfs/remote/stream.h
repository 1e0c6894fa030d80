#pragma once

// What files are served and used over: a stream of bytes each way, without copies. Knows no
// channel: a component puts the data connection of a call behind it, a test a pair of queues.

#include "base/attempt.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/task.h"

#include <array>

namespace bulkhead::remote {

/* As the data connection of a call (sdk/qrexec/loop_channel.h), whose errors these are. */
class Stream
{
protected:
	~Stream() = default;

public:
	/* Bytes that are there in one piece; empty: none now. */
	virtual Attempt<Bytes> peek() = 0;
	virtual void consume(size_t bytes) = 0;

	/* Room for `max` bytes, perhaps in two pieces and fewer; to be followed by `commit`. */
	virtual std::array<Mutable_bytes, 2> reserve(size_t max) = 0;
	virtual void commit(size_t bytes) = 0;

	/* Until there is something to peek at; 0: the stream has ended. */
	virtual Task<size_t> wait_for_data(Job &job) = 0;
	virtual Task<size_t> wait_for_room(Job &job, size_t bytes) = 0;
};

} // namespace bulkhead::remote
