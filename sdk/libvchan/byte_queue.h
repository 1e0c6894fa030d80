#pragma once

// Bytes on their way within one process: a vchan's ring whose two ends are both ours.

#include "vchan/ring.h"

#include <memory>
#include <new>

namespace bulkhead::sdk {

class Byte_queue
{
private:
	std::unique_ptr<uint8_t[]> _bytes;
	vchan::Word _produced{0};
	vchan::Word _consumed{0};

public:
	vchan::Producer in;
	vchan::Consumer out;

	/* The capacity is a power of two; memory as in `allocate`. */
	Byte_queue(std::unique_ptr<uint8_t[]> bytes, size_t capacity)
		: _bytes(std::move(bytes)),
		  in({_bytes.get(), capacity}, _produced, _consumed),
		  out({_bytes.get(), capacity}, _consumed, _produced)
	{}

	/* Null if there is no memory. */
	static std::unique_ptr<Byte_queue> make(size_t capacity)
	{
		std::unique_ptr<uint8_t[]> bytes(new (std::nothrow) uint8_t[capacity]);
		if (!bytes) return nullptr;
		return std::make_unique<Byte_queue>(std::move(bytes), capacity);
	}

	size_t capacity() const { return in.capacity(); }

	// Both ends are honest, so the errors of a hostile peer don't occur.
	size_t size() { return out.available().value(); }
	size_t room() { return in.available().value(); }
	vchan::Pieces<Mutable_bytes> reserve(size_t max = vchan::ALL) { return in.view(max).value(); }
	vchan::Pieces<Bytes> peek(size_t max = vchan::ALL) { return out.view(max).value(); }
	size_t write(std::span<Bytes const> from) { return in.transfer(from).value(); }
	size_t read(std::span<Mutable_bytes const> to) { return out.transfer(to).value(); }
};

} // namespace bulkhead::sdk
