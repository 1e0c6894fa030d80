#include "vfs/fuse/attributes.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

namespace bulkhead::fuse {

namespace {

constexpr int64_t SECOND_NS = 1'000'000'000;
constexpr unsigned STAT_BLOCK = 512; // of st_blocks, by definition
constexpr unsigned IO_SIZE = 4096;

timespec time_of(int64_t ns)
{
	// The part below a second counts upwards, before 1970, too.
	int64_t const rest = ns % SECOND_NS;
	int64_t const below = rest < 0 ? rest + SECOND_NS : rest;
	return {.tv_sec = (ns - below) / SECOND_NS, .tv_nsec = below};
}

int64_t ns_of(timespec time)
{
	int64_t const limit = INT64_MAX / SECOND_NS - 1;
	int64_t const seconds = std::clamp<int64_t>(time.tv_sec, -limit, limit);
	return seconds * SECOND_NS + std::clamp<int64_t>(time.tv_nsec, 0, SECOND_NS - 1);
}

int64_t now_ns()
{
	timespec now{};
	clock_gettime(CLOCK_REALTIME, &now);
	return ns_of(now);
}

} // namespace

uint32_t mode_of(vfs::Type type)
{
	switch (type) {
	case vfs::Type::DIRECTORY: return S_IFDIR;
	case vfs::Type::SYMLINK: return S_IFLNK;
	case vfs::Type::FILE:
	case vfs::Type::CHAR_DEVICE: return S_IFREG;
	}
	return S_IFREG;
}

struct stat attributes_of(vfs::Stat const &stat)
{
	struct stat result{};
	result.st_ino = stat.inode;
	result.st_mode = mode_of(stat.type) | (stat.mode & 07777u);
	result.st_nlink = stat.links;
	result.st_uid = stat.uid;
	result.st_gid = stat.gid;
	result.st_size = static_cast<off_t>(std::min<uint64_t>(stat.size, INT64_MAX));
	result.st_blocks =
		static_cast<blkcnt_t>(stat.used / STAT_BLOCK + (stat.used % STAT_BLOCK != 0));
	result.st_blksize = IO_SIZE;
	result.st_atim = time_of(stat.accessed_ns);
	result.st_mtim = time_of(stat.modified_ns);
	result.st_ctim = time_of(stat.changed_ns);
	return result;
}

vfs::Changes changes_of(struct stat const &attributes, int to_set)
{
	vfs::Changes changes;
	if (to_set & FUSE_SET_ATTR_MODE) changes.mode = attributes.st_mode & 07777;
	if (to_set & FUSE_SET_ATTR_UID) changes.uid = attributes.st_uid;
	if (to_set & FUSE_SET_ATTR_GID) changes.gid = attributes.st_gid;
	if (to_set & FUSE_SET_ATTR_SIZE) changes.size = static_cast<uint64_t>(attributes.st_size);
	if (to_set & FUSE_SET_ATTR_ATIME) changes.accessed_ns = ns_of(attributes.st_atim);
	if (to_set & FUSE_SET_ATTR_MTIME) changes.modified_ns = ns_of(attributes.st_mtim);
	if (to_set & FUSE_SET_ATTR_ATIME_NOW) changes.accessed_ns = now_ns();
	if (to_set & FUSE_SET_ATTR_MTIME_NOW) changes.modified_ns = now_ns();
	return changes;
}

vfs::Access access_of(int flags)
{
	int const mode = flags & O_ACCMODE;
	return {
		.read = mode != O_WRONLY,
		.write = mode != O_RDONLY,
		.append = (flags & O_APPEND) != 0,
		.truncate = (flags & O_TRUNC) != 0,
		.nonblocking = (flags & O_NONBLOCK) != 0,
	};
}

unsigned events_of(Readiness readiness)
{
	unsigned events = 0;
	if (readiness.readable) events |= POLLIN | POLLRDNORM;
	if (readiness.writable) events |= POLLOUT | POLLWRNORM;
	if (readiness.hung_up) events |= POLLHUP;
	return events;
}

int errno_of_request(Error error)
{
	if (error == Error::RANGE) return EFBIG;
	return error == Error::TOO_LONG ? ENAMETOOLONG : errno_of(error);
}

int errno_of_control(Error error)
{
	return error == Error::NOT_SUPPORTED ? ENOTTY : errno_of(error);
}

int errno_of_transfer(Error error)
{
	if (error == Error::RANGE) return EFBIG;
	return error == Error::NOT_SUPPORTED ? EINVAL : errno_of(error);
}

} // namespace bulkhead::fuse
