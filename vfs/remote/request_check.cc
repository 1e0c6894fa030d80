#include "vfs/remote/request_check.h"

#include <cerrno>
#include <cstring>

namespace bulkhead::remote {

namespace {

/* A request's arguments: a structure, and names behind it. */
struct Shape
{
	uint32_t opcode;
	size_t bytes;
	unsigned names = 0;
};

constexpr size_t INIT_LEAST = 16; // before 7.36

constexpr Shape SHAPES[] = {
	{FUSE_LOOKUP, 0, 1},
	{FUSE_FORGET, sizeof(fuse_forget_in)},
	{FUSE_GETATTR, sizeof(fuse_getattr_in)},
	{FUSE_SETATTR, sizeof(fuse_setattr_in)},
	{FUSE_READLINK, 0},
	{FUSE_SYMLINK, 0, 2},
	{FUSE_MKNOD, sizeof(fuse_mknod_in), 1},
	{FUSE_MKDIR, sizeof(fuse_mkdir_in), 1},
	{FUSE_UNLINK, 0, 1},
	{FUSE_RMDIR, 0, 1},
	{FUSE_RENAME, sizeof(fuse_rename_in), 2},
	{FUSE_LINK, sizeof(fuse_link_in), 1},
	{FUSE_OPEN, sizeof(fuse_open_in)},
	{FUSE_READ, sizeof(fuse_read_in)},
	{FUSE_WRITE, sizeof(fuse_write_in)},
	{FUSE_STATFS, 0},
	{FUSE_RELEASE, sizeof(fuse_release_in)},
	{FUSE_FSYNC, sizeof(fuse_fsync_in)},
	{FUSE_INIT, INIT_LEAST},
	{FUSE_OPENDIR, sizeof(fuse_open_in)},
	{FUSE_READDIR, sizeof(fuse_read_in)},
	{FUSE_RELEASEDIR, sizeof(fuse_release_in)},
	{FUSE_CREATE, sizeof(fuse_create_in), 1},
	{FUSE_INTERRUPT, sizeof(fuse_interrupt_in)},
	{FUSE_DESTROY, 0},
	{FUSE_IOCTL, sizeof(fuse_ioctl_in)},
	{FUSE_POLL, sizeof(fuse_poll_in)},
	{FUSE_BATCH_FORGET, sizeof(fuse_batch_forget_in)},
	{FUSE_READDIRPLUS, sizeof(fuse_read_in)},
	{FUSE_RENAME2, sizeof(fuse_rename2_in), 2},
};

template <typename T>
T read_as(Bytes bytes)
{
	T value{};
	std::memcpy(&value, bytes.data(), sizeof value);
	return value;
}

/* Of those whose structure says how much follows. */
int fault_of_rest(uint32_t opcode, Bytes arguments, Bytes rest, size_t io_max)
{
	switch (opcode) {
	case FUSE_INIT: {
		auto const version = read_as<std::array<uint32_t, 2>>(arguments);
		bool const known = version[0] == FUSE_KERNEL_VERSION && version[1] >= MINOR_LEAST;
		return known ? 0 : EPROTO;
	}
	case FUSE_WRITE: {
		uint32_t const size = read_as<fuse_write_in>(arguments).size;
		return size <= rest.size() && size <= io_max ? 0 : EINVAL;
	}
	case FUSE_IOCTL: {
		auto const control = read_as<fuse_ioctl_in>(arguments);
		return control.in_size <= rest.size() && control.out_size <= io_max ? 0 : EINVAL;
	}
	case FUSE_BATCH_FORGET: {
		uint32_t const count = read_as<fuse_batch_forget_in>(arguments).count;
		return count <= rest.size() / sizeof(fuse_forget_one) ? 0 : EINVAL;
	}
	default: return 0;
	}
}

} // namespace

int fault_of(fuse_in_header const &header, Bytes arguments, size_t io_max)
{
	for (Shape const &shape : SHAPES) {
		if (shape.opcode != header.opcode) continue;
		if (arguments.size() < shape.bytes) return EINVAL;
		Bytes rest = arguments.subspan(shape.bytes);
		if (int const fault = fault_of_rest(header.opcode, arguments, rest, io_max)) return fault;
		for (unsigned i = 0; i < shape.names; ++i) {
			auto const end = std::ranges::find(rest, 0);
			if (end == rest.end()) return EINVAL;
			rest = Bytes(end + 1, rest.end());
		}
		return 0;
	}
	return ENOSYS;
}

} // namespace bulkhead::remote
