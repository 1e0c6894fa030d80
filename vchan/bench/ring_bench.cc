// Bytes through the ring in one thread: in and out are two copies, so half of a memcpy is the most.

#include "vchan/test/support.h"

#include <benchmark/benchmark.h>
#include <cstring>

namespace {

using namespace bulkhead;
using namespace bulkhead::vchan;

void copy(benchmark::State &state)
{
	size_t const size = static_cast<size_t>(state.range(0));
	test::Byte_string from(size, 1), to(size);
	for (auto _ : state) {
		std::memcpy(to.data(), from.data(), size);
		benchmark::DoNotOptimize(to.data());
		benchmark::ClobberMemory();
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(copy)->Arg(64)->Arg(4 << 10)->Arg(64 << 10);

/* What a chunk costs from the caller's memory to the reader's, with all looks and fences. */
void ring(benchmark::State &state)
{
	size_t const size = static_cast<size_t>(state.range(0));
	test::Channel channel{{256 << 10, 1}};
	test::Byte_string from(size, 1), to(size);
	for (auto _ : state) {
		benchmark::DoNotOptimize(channel.server.try_write(from).ok());
		benchmark::DoNotOptimize(channel.client.try_read(to).ok());
		benchmark::ClobberMemory();
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
	state.counters["rings"] = static_cast<double>(channel.server.rings());
}
BENCHMARK(ring)->Arg(64)->Arg(4 << 10)->Arg(64 << 10);

/* Where the reader works on the bytes where they lie. */
void ring_peek(benchmark::State &state)
{
	size_t const size = static_cast<size_t>(state.range(0));
	test::Channel channel{{256 << 10, 1}};
	test::Byte_string from(size, 1);
	for (auto _ : state) {
		benchmark::DoNotOptimize(channel.server.try_write(from).ok());
		auto const there = channel.client.peek().value();
		benchmark::DoNotOptimize(there.first.data());
		channel.client.commit_read(there.size());
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ring_peek)->Arg(64)->Arg(4 << 10)->Arg(64 << 10);

} // namespace
