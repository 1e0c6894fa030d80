// Whatever a server answers, what stands between it and a kernel passes on only what a kernel may
// be told, and fails what was asked when it has enough of it. The kernel is a packet socket here.
// The input is what the server says.

#include "platform/linux/loop.h"
#include "vfs/remote/mount.h"
#include "vfs/remote/test/requests.h"
#include "vfs/remote/test/world.h"

#include <set>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace bulkhead;
using namespace bulkhead::remote;

constexpr size_t RING = 64 * 1024;
constexpr uint64_t GREETING = 2;

/* The kernel's side: what it has asked must be answered once. */
class Kernel
{
private:
	int const _socket;
	std::set<uint64_t> _asked{};

public:
	explicit Kernel(int socket) : _socket(socket) {}
	~Kernel() { close(_socket); }

	void ask(uint32_t opcode, uint64_t unique, Bytes arguments)
	{
		auto const bytes = request(opcode, 1, arguments, unique);
		if (send(_socket, bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return;
		_asked.insert(unique);
	}

	void hear()
	{
		static uint8_t buffer[256 * 1024];
		ssize_t size = 0;
		while ((size = recv(_socket, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
			fuse_out_header header{};
			BULKHEAD_ASSERT(static_cast<size_t>(size) >= sizeof header);
			std::memcpy(&header, buffer, sizeof header);
			BULKHEAD_ASSERT(header.len == static_cast<size_t>(size));
			if (header.unique == 0) {
				BULKHEAD_ASSERT(header.error == FUSE_NOTIFY_POLL);
				continue;
			}
			BULKHEAD_ASSERT(header.error <= 0 && header.error > -512);
			BULKHEAD_ASSERT(_asked.erase(header.unique) == 1);
		}
	}

	bool waits(uint64_t but) const
	{
		return std::ranges::any_of(_asked, [&](uint64_t unique) { return unique != but; });
	}
};

void put(Byte_queue &queue, Bytes bytes)
{
	for (uint8_t const byte : bytes) queue.ring[queue.produced++ % queue.ring.size()] = byte;
	queue.changed.raise_all();
}

Bytes greeting()
{
	static fuse_init_in in{};
	in.major = FUSE_KERNEL_VERSION;
	in.minor = FUSE_KERNEL_MINOR_VERSION;
	return object(in);
}

void run(linux_host::Loop &loop)
{
	do {
		loop.executor().run_ready();
		loop.poll(0);
	} while (loop.executor().ready());
}

void ask_all(Kernel &kernel)
{
	uint64_t unique = GREETING;
	for (uint32_t const opcode : {FUSE_GETATTR, FUSE_READ, FUSE_LOOKUP, FUSE_STATFS}) {
		uint8_t const arguments[40]{};
		kernel.ask(opcode, unique += 2, arguments);
	}
	fuse_poll_in poll{};
	poll.flags = FUSE_POLL_SCHEDULE_NOTIFY;
	poll.kh = 7;
	kernel.ask(FUSE_POLL, unique += 2, object(poll));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	if (size < 2 || size > RING) return 0;
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return 0;
	linux_host::Loop loop;
	Kernel kernel(ends[1]);
	Kernel_mount mount(loop, linux_host::Owned_fd(ends[0]));
	kernel.ask(FUSE_INIT, GREETING, greeting());
	Bytes rest(data + 1, size - 1);
	// A second server says the rest.
	for (Bytes const part : {rest.first(rest.size() / 2), rest.subspan(rest.size() / 2)}) {
		Connection_of_queues queues(RING);
		queues.client.peek_max = data[0] ? data[0] : SIZE_MAX;
		Running passing(loop.executor());
		passing.start(mount.serve(passing.job(), queues.client));
		run(loop);
		ask_all(kernel);
		run(loop);
		put(queues.down, part);
		run(loop);
		kernel.hear();
		queues.end();
		run(loop);
		BULKHEAD_ASSERT(passing.done());
		kernel.hear();
		BULKHEAD_ASSERT(!kernel.waits(GREETING));
	}
	return 0;
}
