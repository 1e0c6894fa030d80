#pragma once

// Two ends of a connection within one thread, for tests: a ring of bytes each way.

#include "base/event.h"
#include "vfs/remote/stream.h"

#include <vector>

namespace bulkhead::remote {

struct Byte_queue
{
	std::vector<uint8_t> ring;
	size_t produced = 0;
	size_t consumed = 0;
	bool ended = false;
	Event changed{};

	explicit Byte_queue(size_t size) : ring(size) {}

	size_t filled() const { return produced - consumed; }
	size_t room() const { return ring.size() - filled(); }
	void end()
	{
		ended = true;
		changed.raise_all();
	}
};

class Queue_end final : public Stream
{
private:
	Byte_queue &_in;
	Byte_queue &_out;

public:
	size_t peek_max = SIZE_MAX; // as if what was written came in so many pieces
	unsigned commits = 0;

	Queue_end(Byte_queue &in, Byte_queue &out) : _in(in), _out(out) {}

	Attempt<Bytes> peek() override
	{
		size_t const at = _in.consumed % _in.ring.size();
		size_t const size = std::min({_in.filled(), _in.ring.size() - at, peek_max});
		return Bytes(_in.ring).subspan(at, size);
	}
	void consume(size_t bytes) override
	{
		BULKHEAD_ASSERT(bytes <= _in.filled());
		_in.consumed += bytes;
		_in.changed.raise_all();
	}
	std::array<Mutable_bytes, 2> reserve(size_t max) override
	{
		size_t const size = _out.ended ? 0 : std::min(max, _out.room());
		size_t const at = _out.produced % _out.ring.size();
		size_t const first = std::min(size, _out.ring.size() - at);
		return {std::span(_out.ring).subspan(at, first), std::span(_out.ring).first(size - first)};
	}
	void commit(size_t bytes) override
	{
		if (_out.ended) return;
		BULKHEAD_ASSERT(bytes <= _out.room());
		_out.produced += bytes;
		++commits;
		_out.changed.raise_all();
	}
	Task<size_t> wait_for_data(Job &job) override { return _wait_for_data(job); }
	Task<size_t> wait_for_room(Job &job, size_t bytes) override
	{
		return _wait_for_room(job, bytes);
	}

private:
	Task<size_t> _wait_for_data(Job &job)
	{
		while (!_in.filled() && !_in.ended) CO_TRY(co_await _in.changed.wait(job));
		co_return _in.filled();
	}
	Task<size_t> _wait_for_room(Job &job, size_t bytes)
	{
		BULKHEAD_ASSERT(bytes <= _out.ring.size() / 4);
		while (_out.room() < bytes && !_out.ended) CO_TRY(co_await _out.changed.wait(job));
		if (_out.ended) co_return Error::BROKEN_PIPE;
		co_return _out.room();
	}
};

/* Both ends. */
struct Connection_of_queues
{
	Byte_queue up;
	Byte_queue down;
	Queue_end client{down, up};
	Queue_end server{up, down};

	explicit Connection_of_queues(size_t size = 64 * 1024) : up(size), down(size) {}

	void end()
	{
		up.end();
		down.end();
	}
};

} // namespace bulkhead::remote
