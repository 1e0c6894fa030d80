// Whatever a server answers must end in a result or in the end of its connection: tasks that use
// the client in all ways, and the input as the bytes that come. The number of a request can't be
// known, so an answer that begins with the number 2n+1 is for the n-th of those under way.

#include "vfs/remote/test/world.h"

#include <linux/fuse.h>

namespace {

using namespace bulkhead;
using namespace bulkhead::remote;

constexpr size_t RING = 64 * 1024;
constexpr unsigned USERS = 8;

class Sink final : public vfs::Entry_sink
{
public:
	bool entry(std::string_view, vfs::Type, uint64_t, uint64_t) override { return true; }
};

/* Opens, reads and writes; then others. */
Task<void> use(Job &job, Client &client, unsigned which)
{
	Sink sink;
	switch (which) {
	case 0: {
		CO_TRY(co_await client.list(job, "a", sink));
		co_return Ok{};
	}
	case 1: {
		CO_TRY(co_await client.stat(job, "a/b"));
		co_return Ok{};
	}
	case 2: {
		CO_TRY(co_await client.create(job, "a", {.type = vfs::Type::SYMLINK, .target = "x"}));
		co_return Ok{};
	}
	case 3: {
		CO_TRY(co_await client.rename(job, "a/b", "c/d"));
		co_return Ok{};
	}
	case 4: {
		CO_TRY(co_await client.change(job, "a", {.mode = 1, .size = 2, .modified_ns = -3}));
		co_return co_await client.remove(job, "a", false);
	}
	default: {
		static uint8_t bytes[300]{}; // not in the frame
		CO_TRY_ASSIGN(Remote_file const file, co_await client.open(job, "a", {.write = true}));
		CO_TRY(co_await client.read(job, file, bytes, 0));
		CO_TRY(co_await client.write(job, file, bytes, 0));
		CO_TRY(co_await client.sync(job, file));
		co_return co_await client.close(job, file);
	}
	}
}

/* Plays the server: hears which requests there are, and answers with the input. */
class Liar
{
private:
	Connection_of_queues &_queues;
	std::vector<uint64_t> _asked{};

	void _put(Bytes bytes)
	{
		Byte_queue &queue = _queues.down;
		for (uint8_t const byte : bytes) queue.ring[queue.produced++ % queue.ring.size()] = byte;
		queue.changed.raise_all();
	}

public:
	explicit Liar(Connection_of_queues &queues) : _queues(queues) {}

	void hear()
	{
		Byte_queue &queue = _queues.up;
		while (queue.filled() >= sizeof(fuse_in_header)) {
			fuse_in_header header{};
			auto *const to = reinterpret_cast<uint8_t *>(&header);
			for (size_t i = 0; i < sizeof header; ++i)
				to[i] = queue.ring[(queue.consumed + i) % queue.ring.size()];
			if (header.len > queue.filled()) break;
			queue.consumed += header.len;
			if (!(header.unique >> 63) && header.opcode != FUSE_FORGET && !(header.unique & 1))
				_asked.push_back(header.unique);
		}
		queue.changed.raise_all();
	}

	void greet()
	{
		struct
		{
			fuse_out_header header;
			fuse_init_out init;
		} answer{};
		if (_asked.empty()) return;
		answer.header.len = sizeof answer;
		answer.header.unique = _asked.back();
		answer.init.major = FUSE_KERNEL_VERSION;
		answer.init.minor = FUSE_KERNEL_MINOR_VERSION;
		answer.init.max_write = 65536;
		_put({reinterpret_cast<uint8_t const *>(&answer), sizeof answer});
	}

	/* An answer of the input's: its size (2 bytes), its error (2), the number of its request (1).
	 */
	bool say(Byte_reader &input)
	{
		fuse_out_header header{};
		size_t const size = input.u16_le();
		uint16_t const error = input.u16_le();
		uint8_t const number = input.u8();
		if (!input.ok()) return false;
		Bytes const body = input.bytes(std::min<size_t>(size, input.left()));
		header.len = static_cast<uint32_t>(sizeof header + size);
		header.error = error & 0x8000 ? -(error & 0x3ff) : 0;
		header.unique = number;
		if ((number & 1) && number / 2 < _asked.size())
			header.unique = _asked[_asked.size() - 1 - number / 2];
		if (sizeof header + body.size() > _queues.down.room()) return false;
		_put({reinterpret_cast<uint8_t const *>(&header), sizeof header});
		_put(body);
		return true;
	}
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	if (size < 2) return 0;
	linux_host::Monotonic_clock clock;
	Executor executor(clock);
	Connection_of_queues queues(RING);
	queues.client.peek_max = data[0] ? data[0] : SIZE_MAX;
	Client client(executor, queues.client);
	Liar liar(queues);
	Running answers(executor);
	answers.start(client.run(answers.job()));
	executor.run_ready();
	liar.hear();
	if (data[1] & 1) liar.greet();
	std::vector<std::unique_ptr<Running>> users;
	for (unsigned i = 0; i < USERS; ++i) {
		users.push_back(std::make_unique<Running>(executor));
		users.back()->start(use(users.back()->job(), client, i));
	}
	Byte_reader input(Bytes(data + 2, size - 2));
	do {
		executor.run_ready();
		liar.hear();
	} while (!answers.done() && liar.say(input));
	if (data[1] & 2) users[data[1] / 4 % USERS]->drop();
	if (data[1] & 0x80) users[data[1] / 4 % USERS]->job().cancel();
	queues.end();
	while (executor.run_one()) {}
	BULKHEAD_ASSERT(answers.done());
	for (auto const &user : users) BULKHEAD_ASSERT(user->done());
	return 0;
}
