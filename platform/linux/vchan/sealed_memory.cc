#include "platform/linux/vchan/sealed_memory.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace bulkhead::linux_host {
namespace {

constexpr int SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr unsigned NOEXEC_SEAL = 8; // MFD_NOEXEC_SEAL, which older headers lack
constexpr off_t BYTES_MAX = off_t{1} << 30;

int new_memfd()
{
	unsigned const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	// Linux before 6.3 doesn't know that memory which is never executed can be said to be so.
	int const fd = memfd_create("vchan", flags | NOEXEC_SEAL);
	return fd < 0 && errno == EINVAL ? memfd_create("vchan", flags) : fd;
}

} // namespace

void Sealed_memory::Unmap::operator()(std::byte *start) const { munmap(start, bytes); }

Attempt<Owned_fd, Connect_error> Sealed_memory::create(size_t bytes)
{
	Owned_fd memory{new_memfd()};
	if (!memory || ftruncate(memory.value(), static_cast<off_t>(bytes)) != 0 ||
		fcntl(memory.value(), F_ADD_SEALS, SEALS) != 0)
		return connect_error_of_errno(errno);
	return memory;
}

Attempt<Sealed_memory, Connect_error> Sealed_memory::map(int memory)
{
	// First what asks no file system: one of a hostile user's might never answer.
	int const seals = fcntl(memory, F_GET_SEALS);
	struct statfs place{};
	struct stat file{};
	// Huge pages can run out at any access.
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstatfs(memory, &place) != 0 ||
		place.f_type != TMPFS_MAGIC || fstat(memory, &file) != 0 || file.st_size <= 0 ||
		file.st_size > BYTES_MAX)
		return Connect_error::BAD_MEMORY;
	return map_own(memory, static_cast<size_t>(file.st_size));
}

Attempt<Sealed_memory, Connect_error> Sealed_memory::map_own(int memory, size_t bytes)
{
	void *const start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	// Sealed against writing, or opened for reading only.
	if (start == MAP_FAILED && (errno == EPERM || errno == EACCES))
		return Connect_error::BAD_MEMORY;
	if (start == MAP_FAILED) return connect_error_of_errno(errno);
	Sealed_memory mapped;
	mapped._start = {static_cast<std::byte *>(start), Unmap{bytes}};
	return mapped;
}

} // namespace bulkhead::linux_host
