#include "platform/linux/descriptor.h"

#include <cerrno>

namespace bulkhead::linux_host {

void Owned_fd::reset(int fd)
{
	int const closed = std::exchange(_fd, fd);
	if (closed < 0 || closed == fd) return;
	int const kept = errno;
	// Linux has closed it even if it says EINTR.
	close(closed);
	errno = kept;
}

} // namespace bulkhead::linux_host
