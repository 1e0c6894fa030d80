#pragma once

// A Side on top of a wire that sends all of a message, and receives what there is.

#include "sdk/libvchan/bench/wires.h"

#include <memory>

namespace bulkhead::bench {

template <typename WIRE>
class Side_of final : public Side
{
private:
	WIRE _wire;

	void _receive_all(Mutable_bytes to)
	{
		while (!to.empty()) to = to.subspan(_wire.receive(to));
	}

public:
	template <typename... ARGS>
	explicit Side_of(ARGS &&...arguments) : _wire(std::forward<ARGS>(arguments)...)
	{}

	void ask(uint64_t count, size_t size) override
	{
		std::vector<uint8_t> message(size, 1);
		for (uint64_t i = 0; i < count; ++i) {
			_wire.send(message);
			_receive_all(message);
		}
	}

	void answer(uint64_t count, size_t size) override
	{
		std::vector<uint8_t> message(size);
		for (uint64_t i = 0; i < count; ++i) {
			_receive_all(message);
			_wire.send(message);
		}
	}

	void pour(uint64_t bytes, size_t chunk) override
	{
		std::vector<uint8_t> from(chunk, 1);
		for (uint64_t sent = 0; sent < bytes; sent += chunk) _wire.send(from);
	}

	void drain(uint64_t bytes, size_t chunk) override
	{
		std::vector<uint8_t> to(chunk);
		for (uint64_t left = bytes; left;)
			left -= _wire.receive(Mutable_bytes(to).first(std::min<uint64_t>(left, chunk)));
	}
};

template <typename WIRE, typename... ARGS>
std::unique_ptr<Side> side_of(ARGS &&...arguments)
{
	return std::make_unique<Side_of<WIRE>>(std::forward<ARGS>(arguments)...);
}

} // namespace bulkhead::bench
