#pragma once

// The streams of a call as what files are served and used over.

#include "sdk/qrexec/loop_channel.h"
#include "vfs/remote/stream.h"

namespace bulkhead::component {

/* Of a channel that outlives it. */
class Channel_stream final : public remote::Stream
{
private:
	qrexec::Loop_channel &_channel;

public:
	explicit Channel_stream(qrexec::Loop_channel &channel) : _channel(channel) {}

	Attempt<Bytes> peek() override { return _channel.peek(); }
	void consume(size_t bytes) override { _channel.consume(bytes); }

	std::array<Mutable_bytes, 2> reserve(size_t max) override
	{
		auto const room = _channel.reserve(max);
		return {room.first, room.second};
	}
	void commit(size_t bytes) override { _channel.commit(bytes); }

	Task<size_t> wait_for_data(Job &job) override { return _channel.wait_for_data(job); }
	Task<size_t> wait_for_room(Job &job, size_t bytes) override
	{
		return _channel.wait_for_room(job, bytes);
	}
};

} // namespace bulkhead::component
