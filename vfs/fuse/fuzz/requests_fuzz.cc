// Whatever arrives as a request of the kernel must be answered or refused: the bytes go into a
// session that isn't mounted, whose answers go nowhere, over a tree with a file system in memory
// and a device that makes its readers wait.
//
// An input is a sequence of requests, each with its size in front (two bytes, little-endian). What
// libfuse relies on the kernel for (sizes in the header, names with an end) is put right, as the
// kernel does; all else is the input's.

#include "base/sync_wait.h"
#include "platform/linux/clock.h"
#include "platform/linux/heap.h"
#include "vfs/fuse/session.h"
#include "vfs/fuse/test/mailbox.h"
#include "vfs/plugin/ram/ram.h"
#include "vfs/tree.h"

#include <cstring>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

namespace bulkhead::fuse {
namespace {

class Standing_calendar final : public vfs::Calendar
{
public:
	int64_t now_ns() const override { return 0; }
};

ssize_t swallow(int, iovec *parts, int count, void *)
{
	ssize_t size = 0;
	for (int i = 0; i < count; ++i) size += static_cast<ssize_t>(parts[i].iov_len);
	return size;
}

ssize_t nothing(int, void *, size_t, void *) { return 0; }

/* The arguments' size of requests that libfuse reads without looking at the size. */
size_t least_arguments(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_FORGET: return sizeof(fuse_forget_in);
	case FUSE_BATCH_FORGET: return sizeof(fuse_batch_forget_in);
	case FUSE_GETATTR: return sizeof(fuse_getattr_in);
	case FUSE_SETATTR: return sizeof(fuse_setattr_in);
	case FUSE_MKNOD: return sizeof(fuse_mknod_in);
	case FUSE_MKDIR: return sizeof(fuse_mkdir_in);
	case FUSE_RENAME: return sizeof(fuse_rename_in);
	case FUSE_RENAME2: return sizeof(fuse_rename2_in);
	case FUSE_LINK: return sizeof(fuse_link_in);
	case FUSE_CREATE: return sizeof(fuse_create_in);
	case FUSE_OPEN:
	case FUSE_OPENDIR: return sizeof(fuse_open_in);
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS: return sizeof(fuse_read_in);
	case FUSE_WRITE: return sizeof(fuse_write_in);
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR: return sizeof(fuse_release_in);
	case FUSE_FSYNC: return sizeof(fuse_fsync_in);
	case FUSE_POLL: return sizeof(fuse_poll_in);
	case FUSE_IOCTL: return sizeof(fuse_ioctl_in);
	case FUSE_INTERRUPT: return sizeof(fuse_interrupt_in);
	case FUSE_INIT: return sizeof(fuse_init_in);
	default: return 64;
	}
}

class World
{
private:
	// Behind each request, so that names end: the kernel ends each of a request's names.
	static constexpr size_t ENDS = 4;
	static constexpr size_t REQUEST_MAX = 8192;
	static constexpr uint64_t SETTLE_US = 0;

	linux_host::Monotonic_clock _clock{};
	Executor _executor{_clock};
	linux_host::Heap _heap{};
	Standing_calendar _calendar{};
	Mailbox _mailbox{};
	vfs::Tree _tree = vfs::Tree::create(_heap, _calendar).value();
	std::unique_ptr<Session> _session{};

public:
	World()
	{
		vfs::Ram_limits const limits{.bytes = 1 << 20, .nodes = 64};
		Ref<vfs::Node> ram = vfs::create_ram(_heap, _calendar, limits).value();
		BULKHEAD_ASSERT(_tree.attach("/ram", std::move(ram)).ok());
		BULKHEAD_ASSERT(_tree.attach("/mailbox", Ref<vfs::Node>(_mailbox)).ok());
		_session = std::make_unique<Session>(_executor, Ref<vfs::Node>(_tree.root()), "fuzz",
			Session::Limits{.operations = 8, .nodes = 32, .handles = 16});
		BULKHEAD_ASSERT(_session->make({}));
		fuse_custom_io io{};
		io.writev = swallow;
		io.read = nothing;
		int const fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		BULKHEAD_ASSERT(fuse_session_custom_io(_session->libfuse(), &io, fd) == 0);
		fuse_init_in init{};
		init.major = FUSE_KERNEL_VERSION;
		init.minor = FUSE_KERNEL_MINOR_VERSION;
		init.flags = FUSE_ASYNC_READ | FUSE_DO_READDIRPLUS | FUSE_BIG_WRITES;
		uint8_t bytes[sizeof(fuse_in_header) + sizeof init]{};
		fuse_in_header header{};
		header.len = sizeof bytes;
		header.opcode = FUSE_INIT;
		header.unique = 1;
		std::memcpy(bytes, &header, sizeof header);
		std::memcpy(bytes + sizeof header, &init, sizeof init);
		_session->handle(bytes);
	}

	~World()
	{
		Job_with_arena<4096> job(_executor);
		_session->cancel_all();
		(void)sync_wait(job, _session->settle(job, SETTLE_US));
		_session->close_all();
		(void)sync_wait(job, _session->settle(job, SETTLE_US));
		_session->drop_all();
		BULKHEAD_ASSERT(_session->pending() == 0 && _session->open_files() == 0);
		BULKHEAD_ASSERT(_mailbox.opened == _mailbox.closed);
	}

	void request(Bytes input)
	{
		static uint8_t buffer[sizeof(fuse_in_header) + REQUEST_MAX + ENDS];
		if (input.size() < 8) return;
		fuse_in_header header{};
		header.opcode = input[0] | (input[1] & 0x01) << 8;
		header.nodeid = input[2];
		if (input[3] & 0x80) header.nodeid |= uint64_t{input[3]} << 32;
		header.unique = input[4] | 2;
		header.uid = input[5] & 1;
		if (header.opcode == FUSE_INIT || header.opcode == FUSE_DESTROY) return;
		// libfuse never frees an answer to a question that wasn't asked.
		if (header.opcode == FUSE_NOTIFY_REPLY) return;
		Bytes const arguments = input.subspan(8);
		size_t const used = std::min(arguments.size(), REQUEST_MAX);
		size_t const size = std::max(used, least_arguments(header.opcode)) + ENDS;
		header.len = static_cast<uint32_t>(sizeof header + size);
		std::memset(buffer, 0, sizeof header + size);
		std::memcpy(buffer, &header, sizeof header);
		copy_bytes(std::span(buffer).subspan(sizeof header), arguments.first(used));
		uint8_t *const at = buffer + sizeof header;
		// The kernel sends as many bytes as it announces, and no more than were agreed on.
		if (header.opcode == FUSE_WRITE) {
			auto *const write = reinterpret_cast<fuse_write_in *>(at);
			write->size = static_cast<uint32_t>(size - sizeof(fuse_write_in));
		}
		if (header.opcode == FUSE_IOCTL) {
			auto *const ioctl = reinterpret_cast<fuse_ioctl_in *>(at);
			ioctl->in_size = static_cast<uint32_t>(size - sizeof(fuse_ioctl_in));
			ioctl->out_size &= 0xffff;
		}
		if (header.opcode == FUSE_BATCH_FORGET) {
			auto *const forget = reinterpret_cast<fuse_batch_forget_in *>(at);
			size_t const fit = (size - sizeof *forget) / sizeof(fuse_forget_one);
			forget->count = std::min(forget->count, static_cast<uint32_t>(fit));
		}
		_session->handle({buffer, sizeof header + size});
	}
};

} // namespace
} // namespace bulkhead::fuse

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	constexpr unsigned REQUESTS_MAX = 64;
	bulkhead::fuse::World world;
	bulkhead::Byte_reader reader{bulkhead::Bytes(data, size)};
	for (unsigned i = 0; i < REQUESTS_MAX && reader.left() >= 2; ++i) {
		size_t const announced = reader.u16_le();
		world.request(reader.bytes(std::min(announced, reader.left())));
	}
	// libfuse keeps an interrupt until another request comes, and never frees one that is left.
	static constexpr uint8_t STATFS[] = {17, 0, 1, 0, 0, 0, 0, 0};
	for (unsigned i = 0; i < REQUESTS_MAX; ++i) world.request(STATFS);
	return 0;
}
