#include "platform/linux/errno.h"

#include <cerrno>

namespace bulkhead::linux_host {

Error error_of_errno(int number)
{
	switch (number) {
	case EINTR:
	case ECANCELED: return Error::CANCELLED;
	case ETIMEDOUT: return Error::TIMEOUT;
	case EAGAIN: return Error::WOULD_BLOCK;
	case EBUSY:
	case ETXTBSY: return Error::BUSY;
	case ENODEV:
	case ENXIO:
	case ESHUTDOWN: return Error::GONE;
	case EMSGSIZE:
	case ENAMETOOLONG:
	case E2BIG: return Error::TOO_LONG;
	case EINVAL:
	case EBADF: return Error::INVALID;
	case EOPNOTSUPP:
	case ENOSYS:
	case ENOTTY: return Error::NOT_SUPPORTED;
	case EACCES:
	case EPERM: return Error::DENIED;
	case EPIPE:
	case ENOTCONN:
	case ECONNRESET: return Error::BROKEN_PIPE;
	case ENOENT: return Error::NOT_FOUND;
	case EEXIST: return Error::EXISTS;
	case ENOTDIR: return Error::NOT_A_DIRECTORY;
	case EISDIR: return Error::IS_A_DIRECTORY;
	case ENOTEMPTY: return Error::NOT_EMPTY;
	case ELOOP: return Error::TOO_MANY_LINKS;
	case EXDEV: return Error::CROSS_DEVICE;
	case EROFS: return Error::READ_ONLY;
	case ENOSPC:
	case EDQUOT: return Error::NO_SPACE;
	case ENOBUFS:
	case ENOMEM: return Error::OUT_OF_MEMORY;
	case EMFILE:
	case ENFILE:
	case ETOOMANYREFS: return Error::TOO_MANY_OPEN;
	case ESPIPE: return Error::NOT_SEEKABLE;
	case EOVERFLOW:
	case EFBIG:
	case ERANGE: return Error::RANGE;
	default: return Error::IO;
	}
}

} // namespace bulkhead::linux_host
