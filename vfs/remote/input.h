#pragma once

// Takes messages out of a stream, several before the other side is told that there is room again.

#include "vfs/remote/stream.h"

namespace bulkhead::remote {

class Input
{
private:
	Stream *_stream = nullptr;
	Bytes _there{};
	size_t _taken = 0;

	// More than this isn't held back: the other side may need the room.
	static constexpr size_t HELD_BACK_MAX = 32 * 1024;

public:
	/* Begins with another stream, or with none. */
	void use(Stream *stream)
	{
		_stream = stream;
		_there = {};
		_taken = 0;
	}

	/* Whether all is taken of what was there at the last look. */
	bool exhausted() const { return _taken == _there.size(); }

	/* What is there in one piece and not yet taken; empty: nothing now. Errors of the stream. */
	Attempt<Bytes> look()
	{
		if (exhausted() || _taken > HELD_BACK_MAX) {
			give_back();
			_there = TRY(_stream->peek());
		}
		return _there.subspan(_taken);
	}

	void take(size_t size) { _taken += size; }

	/* Tells the other side of all that was taken. */
	void give_back()
	{
		if (_taken) _stream->consume(std::exchange(_taken, 0));
		_there = {};
	}
};

} // namespace bulkhead::remote
