#include "vfs/plugin/host/system.h"

#include "base/fixed_string.h"

#include <cerrno>
#include <cstddef>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

namespace bulkhead::vfs {

Error error_of_errno(int number)
{
	switch (number) {
	case EPERM: return Error::DENIED;
	case ENAMETOOLONG: return Error::TOO_LONG;
	case EFBIG: return Error::RANGE;
	case EDQUOT:
	case EMLINK: return Error::NO_SPACE;
	case ENFILE: return Error::TOO_MANY_OPEN;
	case ESTALE: return Error::NOT_FOUND;
	case ETXTBSY: return Error::BUSY;
	default: break;
	}
	// The table of all errors, read backwards.
	for (unsigned e = static_cast<unsigned>(Error::RANGE); e; --e)
		if (errno_of(static_cast<Error>(e)) == number) return static_cast<Error>(e);
	return Error::IO;
}

namespace host {

namespace {

constexpr uint64_t OFFSET_MAX = INT64_MAX;
constexpr int RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

Error last_error() { return error_of_errno(errno); }

Attempt<void> done(int result)
{
	if (result < 0) return last_error();
	return Ok{};
}

int64_t nanoseconds(statx_timestamp const &time)
{
	return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::optional<Type> type_of_mode(unsigned mode)
{
	if (S_ISREG(mode)) return Type::FILE;
	if (S_ISDIR(mode)) return Type::DIRECTORY;
	if (S_ISLNK(mode)) return Type::SYMLINK;
	return {};
}

Attempt<struct statx> look_at(int fd)
{
	struct statx all{};
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS | STATX_BTIME,
			&all) < 0)
		return last_error();
	return all;
}

Attempt<Stat> stat_of(struct statx const &all)
{
	auto const type = type_of_mode(all.stx_mode);
	if (!type) return Error::NOT_SUPPORTED;
	return Stat{.type = *type,
		.mode = static_cast<uint16_t>(all.stx_mode & 07777),
		.links = all.stx_nlink,
		.uid = all.stx_uid,
		.gid = all.stx_gid,
		.inode = all.stx_ino,
		.size = all.stx_size,
		.used = all.stx_blocks * 512,
		.accessed_ns = nanoseconds(all.stx_atime),
		.modified_ns = nanoseconds(all.stx_mtime),
		.changed_ns = nanoseconds(all.stx_ctime)};
}

/* How a descriptor is called below /proc/self/fd. */
Fixed_string<16> name_in_proc(int fd)
{
	Fixed_string<16> name;
	static_cast<void>(name.append(fd));
	return name;
}

timespec time_of(std::optional<int64_t> const &time_ns)
{
	if (!time_ns) return {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
	constexpr int64_t SECOND = 1'000'000'000;
	int64_t const rest = ((*time_ns % SECOND) + SECOND) % SECOND;
	return {.tv_sec = (*time_ns - rest) / SECOND, .tv_nsec = rest};
}

/* A directory with the set-group-ID bit passes its group on, and the bit to directories. */
Attempt<Creation> inheriting(int directory, Creation how)
{
	struct statx const above = TRY(look_at(directory));
	if (!(above.stx_mode & S_ISGID)) return how;
	how.gid = above.stx_gid;
	if (how.type == Type::DIRECTORY) how.mode |= S_ISGID;
	return how;
}

Attempt<Unique_fd> make_file(int directory, char const *name, Creation const &how)
{
	int const flags = O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int const fd = openat(directory, name, flags, 0600);
	if (fd < 0) return last_error();
	Unique_fd file(fd);
	if (geteuid() == 0) TRY(done(fchown(fd, how.uid, how.gid)));
	TRY(done(fchmod(fd, how.mode)));
	return file;
}

} // namespace

Attempt<Found> inspect(Unique_fd fd)
{
	struct statx const all = TRY(look_at(fd.number()));
	Found found{.fd = std::move(fd)};
	found.stat = TRY(stat_of(all));
	found.identity = {.device = uint64_t{all.stx_dev_major} << 32 | all.stx_dev_minor,
		.inode = all.stx_ino,
		.born_ns = all.stx_mask & STATX_BTIME ? nanoseconds(all.stx_btime) : 0};
	return found;
}

Attempt<Found> find(int directory, char const *path)
{
	open_how how{};
	how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	how.resolve = RESOLVE;
	long const fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
	if (fd < 0) return last_error();
	return inspect(Unique_fd(static_cast<int>(fd)));
}

Attempt<Stat> stat(int fd)
{
	struct statx const all = TRY(look_at(fd));
	return stat_of(all);
}

Attempt<Space> space(int fd)
{
	struct statfs all{};
	TRY(done(fstatfs(fd, &all)));
	uint64_t const block = static_cast<uint64_t>(all.f_bsize);
	return Space{.total = all.f_blocks * block,
		.free = all.f_bavail * block,
		.nodes_total = all.f_files,
		.nodes_free = all.f_ffree};
}

Attempt<Unique_fd> open_again(int proc, int fd, int flags)
{
	int const opened = openat(proc, name_in_proc(fd).c_str(), flags | O_CLOEXEC | O_NOCTTY);
	if (opened < 0) return last_error();
	return Unique_fd(opened);
}

Attempt<void> change(int proc, int fd, Type type, Changes const &changes)
{
	if (changes.size) {
		if (type == Type::DIRECTORY) return Error::IS_A_DIRECTORY;
		if (type != Type::FILE) return Error::INVALID;
		if (*changes.size > INT64_MAX) return Error::RANGE;
		Unique_fd const file = TRY(open_again(proc, fd, O_WRONLY | O_NONBLOCK));
		TRY(done(ftruncate(file.number(), static_cast<off_t>(*changes.size))));
	}
	if (changes.uid || changes.gid) {
		uid_t const uid = changes.uid.value_or(static_cast<uid_t>(-1));
		gid_t const gid = changes.gid.value_or(static_cast<gid_t>(-1));
		TRY(done(fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)));
	}
	if (changes.mode) {
		if (type == Type::SYMLINK) return Error::NOT_SUPPORTED;
		TRY(done(fchmodat(proc, name_in_proc(fd).c_str(), *changes.mode & 07777, 0)));
	}
	if (changes.accessed_ns || changes.modified_ns) {
		timespec const times[] = {time_of(changes.accessed_ns), time_of(changes.modified_ns)};
		TRY(done(utimensat(fd, "", times, AT_EMPTY_PATH)));
	}
	return Ok{};
}

Attempt<size_t> read_link(int fd, Mutable_bytes to)
{
	ssize_t const n = readlinkat(fd, "", reinterpret_cast<char *>(to.data()), to.size());
	if (n < 0) return last_error();
	return static_cast<size_t>(n);
}

Attempt<Found> create(int proc, int directory, char const *name, Creation const &wanted)
{
	Creation const how = TRY(inheriting(directory, wanted));
	if (how.type == Type::FILE) {
		Unique_fd const file = TRY(make_file(directory, name, how));
		return inspect(TRY(open_again(proc, file.number(), O_PATH)));
	}
	if (how.type == Type::DIRECTORY)
		TRY(done(mkdirat(directory, name, 0700)));
	else if (how.type == Type::SYMLINK)
		TRY(done(symlinkat(how.target, directory, name)));
	else
		return Error::NOT_SUPPORTED;
	Found found = TRY(find(directory, name));
	// Somebody else on the host may have put something else there meanwhile.
	if (found.stat.type != how.type || found.stat.uid != geteuid()) return Error::BUSY;
	Changes changes{.mode = how.mode};
	if (how.type == Type::SYMLINK) changes.mode.reset();
	if (geteuid() == 0) {
		changes.uid = how.uid;
		changes.gid = how.gid;
	}
	TRY(change(proc, found.fd.number(), how.type, changes));
	return inspect(std::move(found.fd));
}

Attempt<void> link(int proc, int fd, int directory, char const *name)
{
	return done(linkat(proc, name_in_proc(fd).c_str(), directory, name, AT_SYMLINK_FOLLOW));
}

Attempt<Removed> remove(int directory, char const *name, bool is_directory)
{
	// A node that is in use stays reachable by this descriptor.
	Attempt<Found> found = find(directory, name);
	if (!found.ok()) return found.error();
	bool const as_wanted = (found.value().stat.type == Type::DIRECTORY) == is_directory;
	if (!as_wanted) return is_directory ? Error::NOT_A_DIRECTORY : Error::IS_A_DIRECTORY;
	if (unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0) < 0)
		return errno == EEXIST ? Error::NOT_EMPTY : last_error();
	return Removed(std::move(found).value());
}

Attempt<Renamed> rename(int from, char const *name, int to, char const *new_name, Rename how)
{
	unsigned const flags = how == Rename::NO_REPLACE ? RENAME_NOREPLACE
		: how == Rename::EXCHANGE                    ? RENAME_EXCHANGE
													 : 0;
	Found const moved = TRY(find(from, name));
	Renamed renamed{.moved = moved.identity};
	if (how != Rename::NO_REPLACE) {
		Attempt<Found> replaced = find(to, new_name);
		if (replaced.ok())
			renamed.replaced = std::move(replaced).value();
		else if (replaced.error() != Error::NOT_FOUND)
			return replaced.error();
	}
	if (renameat2(from, name, to, new_name, flags) < 0)
		// What was replaced must be empty, if it is a directory.
		return errno == EEXIST && how != Rename::NO_REPLACE ? Error::NOT_EMPTY : last_error();
	return renamed;
}

Attempt<size_t> read(int fd, uint64_t offset, Mutable_bytes to)
{
	size_t const wanted = std::min<uint64_t>(to.size(), OFFSET_MAX - std::min(offset, OFFSET_MAX));
	size_t done = 0;
	while (done < wanted) {
		ssize_t const n =
			pread(fd, to.data() + done, wanted - done, static_cast<off_t>(offset + done));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && done == 0) return last_error();
		if (n <= 0) break;
		done += static_cast<size_t>(n);
	}
	return done;
}

Attempt<size_t> write(int fd, uint64_t offset, Bytes from)
{
	size_t const wanted =
		std::min<uint64_t>(from.size(), OFFSET_MAX - std::min(offset, OFFSET_MAX));
	if (wanted == 0 && !from.empty()) return Error::RANGE;
	size_t done = 0;
	while (done < wanted) {
		ssize_t const n =
			pwrite(fd, from.data() + done, wanted - done, static_cast<off_t>(offset + done));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && done == 0) return last_error();
		if (n <= 0) break;
		done += static_cast<size_t>(n);
	}
	return done;
}

namespace {

struct Header
{
	uint64_t inode;
	int64_t next;
	uint16_t size;
	uint8_t type;
};

constexpr size_t NAME_AT = offsetof(dirent64, d_name);
constexpr size_t TYPE_AT = offsetof(dirent64, d_type);

Header header_of(Bytes entry)
{
	BULKHEAD_ASSERT(entry.size() > NAME_AT);
	Header header{};
	__builtin_memcpy(&header.inode, entry.data() + offsetof(dirent64, d_ino), 8);
	__builtin_memcpy(&header.next, entry.data() + offsetof(dirent64, d_off), 8);
	__builtin_memcpy(&header.size, entry.data() + offsetof(dirent64, d_reclen), 2);
	header.type = entry[TYPE_AT];
	BULKHEAD_ASSERT(header.size > NAME_AT && header.size <= entry.size());
	return header;
}

char const *name_of_entry(Bytes entry)
{
	return reinterpret_cast<char const *>(entry.data()) + NAME_AT;
}

} // namespace

Attempt<size_t> read_entries(int fd, uint64_t cookie, Mutable_bytes to)
{
	if (cookie > INT64_MAX) return Error::INVALID;
	if (lseek(fd, static_cast<off_t>(cookie), SEEK_SET) < 0) return last_error();
	ssize_t const n = getdents64(fd, to.data(), to.size());
	if (n < 0) return last_error();
	size_t const size = static_cast<size_t>(n);
	// Some file systems leave it to us to find out what an entry is.
	for (size_t at = 0; at < size;) {
		Mutable_bytes const entry = to.subspan(at, size - at);
		Header const header = header_of(entry);
		struct stat found{};
		if (header.type == DT_UNKNOWN &&
			fstatat(fd, name_of_entry(entry), &found, AT_SYMLINK_NOFOLLOW) == 0)
			entry[TYPE_AT] = static_cast<uint8_t>(IFTODT(found.st_mode));
		at += header.size;
	}
	return size;
}

Entry take_entry(Bytes &entries)
{
	Header const header = header_of(entries);
	Entry entry{.name = name_of_entry(entries),
		.inode = header.inode,
		.next_cookie = static_cast<uint64_t>(header.next)};
	auto const type = type_of_mode(DTTOIF(header.type));
	if (!type || entry.name == "." || entry.name == "..") entry.name = {};
	entry.type = type.value_or(Type::FILE);
	entries = entries.subspan(header.size);
	return entry;
}

} // namespace host

} // namespace bulkhead::vfs
