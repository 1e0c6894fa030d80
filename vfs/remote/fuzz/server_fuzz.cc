// Whatever a client sends must be answered or end its connection: the input is what comes through
// the stream, in pieces whose size its first byte says, to a server of files in memory and a device
// that has its readers wait. Its second byte says what the client may see and does.

#include "vfs/remote/test/requests.h"
#include "vfs/remote/test/world.h"

namespace {

using namespace bulkhead;
using namespace bulkhead::remote;

constexpr size_t RING = 64 * 1024;

void put(Byte_queue &queue, Bytes bytes)
{
	for (uint8_t const byte : bytes) queue.ring[queue.produced++ % queue.ring.size()] = byte;
	queue.changed.raise_all();
}

/* Throws away what the server has answered. */
void take_answers(Byte_queue &queue)
{
	queue.consumed = queue.produced;
	queue.changed.raise_all();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	constexpr size_t ROUNDS = 4096;
	if (size < 2) return 0;
	Served_tree tree;
	Rules rules;
	rules.read_only = data[1] & 1;
	if (data[1] & 2) rules.nodes = {"ram/a*", "mailbox"};
	{
		Served served(tree, restricted(tree.root(), rules).value(), RING,
			{.operations = 8, .nodes = 32, .handles = 16, .io_bytes = 16 * 1024, .generation = 1});
		served.queues.server.peek_max = data[0] ? data[0] : SIZE_MAX;
		if (data[1] & 4) put(served.queues.up, init_request());
		Bytes rest(data + 2, size - 2);
		for (size_t i = 0; i < ROUNDS && !served.serving.done() && !rest.empty(); ++i) {
			size_t const part = std::min(rest.size(), served.queues.up.room());
			put(served.queues.up, rest.first(part));
			rest = rest.subspan(part);
			tree.executor.run_ready();
			// One who never takes answers is stuck, which is its own affair.
			if (!(data[1] & 8)) take_answers(served.queues.down);
		}
		served.queues.end();
		while (!served.serving.done() && tree.executor.run_one()) {}
		BULKHEAD_ASSERT(served.serving.done());
		BULKHEAD_ASSERT(served.server.pending() == 0 && served.server.open_files() == 0);
	}
	BULKHEAD_ASSERT(tree.mailbox.opened == tree.mailbox.closed);
	return 0;
}
