#pragma once

// A channel as a stream, for tests and benches: the bytes as they are, without a protocol of calls.

#include "platform/linux/vchan/loop_connection.h"
#include "vfs/remote/stream.h"

namespace bulkhead::remote {

class Channel_stream final : public Stream
{
private:
	linux_host::Connection _connection{};
	linux_host::Loop_connection _watched;

	vchan::Endpoint &_end() { return *_connection.endpoint(); }

	static bool _over(vchan::Error error)
	{
		return error == vchan::Error::PEER_CLOSED || error == vchan::Error::PEER_DEAD ||
			error == vchan::Error::CLOSED;
	}
	static Error _error_of(vchan::Error error)
	{
		switch (error) {
		case vchan::Error::CANCELLED: return Error::CANCELLED;
		case vchan::Error::TIMEOUT: return Error::TIMEOUT;
		case vchan::Error::OUT_OF_FRAMES: return Error::OUT_OF_FRAMES;
		default: return _over(error) ? Error::BROKEN_PIPE : Error::IO;
		}
	}
	static Attempt<size_t> _data(Attempt<size_t, vchan::Error> const &there)
	{
		if (there.ok()) return there.value();
		if (_over(there.error())) return size_t{0};
		return _error_of(there.error());
	}
	static Attempt<size_t> _room(Attempt<size_t, vchan::Error> const &room)
	{
		if (room.ok()) return room.value();
		return _error_of(room.error());
	}
	static Task<size_t> _data_later(Job &, Task<size_t, vchan::Error> task)
	{
		Attempt<size_t, vchan::Error> const there = co_await task;
		co_return _data(there);
	}
	static Task<size_t> _room_later(Job &, Task<size_t, vchan::Error> task)
	{
		Attempt<size_t, vchan::Error> const room = co_await task;
		co_return _room(room);
	}

public:
	explicit Channel_stream(linux_host::Loop &loop) : _watched(loop, _connection) {}

	bool adopt(linux_host::Channel_end end)
	{
		return _connection.adopt(std::move(end)).ok() && _watched.start().ok();
	}

	Attempt<Bytes> peek() override
	{
		auto const there = _end().peek();
		if (there.ok()) return there.value().first;
		if (_over(there.error())) return Bytes();
		return _error_of(there.error());
	}
	void consume(size_t bytes) override { _end().commit_read(bytes); }
	std::array<Mutable_bytes, 2> reserve(size_t max) override
	{
		auto const room = _end().reserve(max);
		if (!room.ok()) return {};
		return {room.value().first, room.value().second};
	}
	void commit(size_t bytes) override { _end().commit_written(bytes); }
	Task<size_t> wait_for_data(Job &job) override
	{
		auto task = _end().wait_for_data(job, 1);
		if (task.ready()) return _data(task.take());
		return _data_later(job, std::move(task));
	}
	Task<size_t> wait_for_room(Job &job, size_t bytes) override
	{
		auto task = _end().wait_for_room(job, bytes);
		if (task.ready()) return _room(task.take());
		return _room_later(job, std::move(task));
	}
};

} // namespace bulkhead::remote
