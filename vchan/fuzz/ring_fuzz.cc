// An endpoint whose peer is the fuzzer: it chooses operations and what the peer's words say between
// them. The endpoint stays inside its rings, keeps its reason, and never waits for the dead.

#include "vchan/test/support.h"

#include <cstdlib>
#include <cstring>

namespace bulkhead::vchan {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

/* One byte per decision; zeros when the input has ended. */
struct Input
{
	Bytes bytes;

	uint8_t u8()
	{
		if (bytes.empty()) return 0;
		uint8_t const byte = bytes.front();
		bytes = bytes.subspan(1);
		return byte;
	}
	uint32_t u32()
	{
		uint32_t value = 0;
		for (int i = 0; i < 4; ++i) value = value << 8 | u8();
		return value;
	}
};

constexpr uint32_t GENERATION = 5;

struct World
{
	test::Manual_clock clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};
	test::Bell bell{};
	test::Byte_string buffer = test::Byte_string(64);

	void step(Endpoint &end, Side &peer, Input &input)
	{
		uint8_t const what = input.u8();
		Mutable_bytes const some = Mutable_bytes(buffer).first(input.u8() % (buffer.size() + 1));
		switch (what % 14) {
		case 0: peer.produced += input.u8() % 8; break;
		case 1: peer.consumed += input.u8() % 8; break;
		case 2: peer.produced = input.u32(); break;
		case 3: peer.consumed = input.u32(); break;
		case 4: peer.sleep = input.u32(); break;
		case 5: peer.life = GENERATION << GENERATION_SHIFT | input.u8() % 5; break;
		case 6: peer.life = input.u32(); break;
		case 7: check(end.try_write(some), some.size(), end.out_capacity()); break;
		case 8: check(end.try_read(some), some.size(), end.in_capacity()); break;
		case 9: check(end.try_send(some), some.size(), end.out_capacity()); break;
		case 10: check(end.try_receive(some), some.size(), end.in_capacity()); break;
		default: views(end, some.size()); break;
		}
	}

	static void check(Attempt<size_t, Error> const &result, size_t most, size_t capacity)
	{
		if (result.ok()) demand(result.value() <= most && result.value() <= capacity);
	}

	static void views(Endpoint &end, size_t n)
	{
		auto const room = end.reserve(n);
		if (room.ok()) {
			demand(room.value().size() <= std::min(n, end.out_capacity()));
			fill_bytes(room.value().first, 1);
			fill_bytes(room.value().second, 2);
			end.commit_written(room.value().size());
		}
		auto const there = end.peek(n);
		if (there.ok()) {
			demand(there.value().size() <= std::min(n, end.in_capacity()));
			end.commit_read(there.value().size() / 2);
		}
	}
};

uint32_t ring_size(uint8_t byte) { return byte % 7 == 6 ? 0 : 1U << byte % 7; }

void run(Input input)
{
	uint32_t const to_client = ring_size(input.u8());
	Sizes const sizes{to_client, ring_size(input.u8())};
	if (!rounded(sizes).ok()) return;
	bool const client = input.u8() % 2;
	test::Region region{sizes};
	auto const server_view = test::serve(region.bytes(), sizes, GENERATION).value();
	if (input.u8() % 8 == 0) {
		// A client of a server that wrote anything.
		for (int i = 0; i < 20; ++i) region.bytes()[size_t(i)] = std::byte{input.u8()};
		static_cast<void>(attach(region.bytes(), GENERATION));
		return;
	}
	World world;
	Endpoint end{client ? attach(region.bytes(), GENERATION).value() : server_view, world.bell};
	Side &peer = client ? region.control().server : region.control().client;
	uint8_t byte[1];
	Attempt<size_t, Error> result{Error::OUT_OF_FRAMES};
	auto reading = end.read(world.job, byte);
	Root root = run_into(world.job, reading, result);
	demand(root.start(world.job).ok());
	while (!input.bytes.empty()) {
		std::optional<Error> const before = end.fault();
		world.step(end, peer, input);
		if (before) demand(end.fault() == before);
		if (input.u8() % 4 == 0) end.rung();
		world.executor.run_ready();
	}
	end.peer_died();
	world.executor.run_ready();
	demand(root.done());
}

} // namespace
} // namespace bulkhead::vchan

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	bulkhead::vchan::run({{data, size}});
	return 0;
}
