#pragma once

// What the tests of vchan share: a region, bells that remember, and a clock that stands still.

#include "base/sync_wait.h"
#include "vchan/endpoint.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <vector>

namespace bulkhead::vchan::test {

using Byte_string = std::vector<uint8_t>;

/* Memory as a host would map it: page-aligned, of exactly the size asked for. */
class Region
{
private:
	struct Free
	{
		void operator()(std::byte *memory) const { std::free(memory); }
	};

	size_t _size;
	std::unique_ptr<std::byte, Free> _memory;

public:
	explicit Region(size_t size)
		: _size(size),
		  _memory(
			  static_cast<std::byte *>(std::aligned_alloc(PAGE, (size + PAGE - 1) & ~(PAGE - 1))))
	{}
	explicit Region(Sizes sizes) : Region(region_bytes(sizes)) {}

	std::span<std::byte> bytes() { return {_memory.get(), _size}; }
	Control &control() { return *reinterpret_cast<Control *>(_memory.get()); }
};

/* What a server does before anybody else has the region, of any sizes that fit. */
inline Attempt<Attachment, Error> serve(
	std::span<std::byte> region, Sizes wanted, uint32_t generation)
{
	TRY(format(*::new (region.data()) Control{}, TRY(rounded(wanted)), generation));
	return attach(region, generation, Role::SERVER);
}

class Manual_clock final : public Clock
{
public:
	uint64_t time_us = 1000;

	uint64_t now_us() const override { return time_us; }
};

/* Keeps its rings until somebody hears them. */
class Bell final : public Doorbell
{
public:
	unsigned rings = 0;

	void ring() override { ++rings; }
	bool heard() { return std::exchange(rings, 0) > 0; }
};

/* Both ends of a channel in one thread, with two jobs each. */
struct Channel
{
	Region region;
	Bell to_server{};
	Bell to_client{};
	Manual_clock clock{};
	Executor executor{clock};
	Job_with_arena<8192> server_job{executor};
	Job_with_arena<8192> server_writer{executor};
	Job_with_arena<8192> client_job{executor};
	Job_with_arena<8192> client_writer{executor};
	Endpoint server;
	Endpoint client;

	explicit Channel(Sizes sizes)
		: region(rounded(sizes).value()),
		  server(serve(region.bytes(), sizes, 7).value(), to_client),
		  client(attach(region.bytes(), 7).value(), to_server)
	{}

	/* Runs what is ready and hears the bells until nothing happens any more. */
	void settle()
	{
		for (bool busy = true; busy;) {
			busy = executor.run_ready();
			if (to_server.heard()) server.rung(), busy = true;
			if (to_client.heard()) client.rung(), busy = true;
		}
	}
};

/* Bytes whose order can be told. */
inline Byte_string counted(size_t n, size_t from = 0)
{
	Byte_string bytes(n);
	for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<uint8_t>((from + i) * 31 % 251);
	return bytes;
}

} // namespace bulkhead::vchan::test
