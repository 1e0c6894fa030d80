#pragma once

// Puts messages into a stream where they are to lie, several before the other side is told.

#include "vfs/remote/stream.h"

namespace bulkhead::remote {

class Output
{
private:
	Stream *_stream = nullptr;
	std::array<Mutable_bytes, 2> _room{};
	size_t _used = 0;

	// More than this isn't held back: the other side may begin with it.
	static constexpr size_t HELD_BACK_MAX = 16 * 1024;
	static constexpr size_t RESERVED_MAX = 256 * 1024;

	size_t _left() const { return _room[0].size() + _room[1].size() - _used; }

public:
	/* Begins with another stream, or with none: then there is no room. */
	void use(Stream *stream)
	{
		_stream = stream;
		_room = {};
		_used = 0;
	}

	/* Tells the other side of all that was put. */
	void flush()
	{
		if (_used) _stream->commit(std::exchange(_used, 0));
		_room = {};
	}

	/* Whether so many bytes can be put now. */
	bool fits(size_t size)
	{
		if (_left() >= size && _used < HELD_BACK_MAX) return true;
		if (!_stream) return false;
		flush();
		_room = _stream->reserve(RESERVED_MAX);
		return _left() >= size;
	}

	/* The place of `size` bytes that begin `skip` bytes behind the next one to be put; they fit. */
	std::array<Mutable_bytes, 2> place(size_t skip, size_t size) const
	{
		size_t const at = _used + skip;
		size_t const border = _room[0].size();
		if (at >= border) return {_room[1].subspan(at - border, size), Mutable_bytes()};
		size_t const first = std::min(size, border - at);
		return {_room[0].subspan(at, first), _room[1].first(size - first)};
	}

	void put_at(size_t skip, Bytes bytes) const
	{
		auto const to = place(skip, bytes.size());
		copy_bytes(to[0], bytes.first(to[0].size()));
		copy_bytes(to[1], bytes.subspan(to[0].size()));
	}

	/* The next `size` bytes are in place. */
	void advance(size_t size) { _used += size; }

	/* They fit. */
	void put(Bytes bytes)
	{
		put_at(0, bytes);
		advance(bytes.size());
	}

	/* Puts as many as there is room for; returns how many. */
	size_t put_what_fits(Bytes bytes)
	{
		size_t done = 0;
		while (done < bytes.size()) {
			Bytes rest = bytes.subspan(done);
			if (!fits(rest.size())) rest = rest.first(std::min(_left(), rest.size()));
			if (rest.empty()) break;
			put(rest);
			done += rest.size();
		}
		return done;
	}
};

} // namespace bulkhead::remote
