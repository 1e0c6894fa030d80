#pragma once

// The errors that cross an edge: what a file, a character device or a wait can answer, whoever is
// behind it. A driver has an error enum of its own that is finer (`spi::Error::CHIP_SELECT_FAULT`)
// and says with `convert_error` which of these it is to the outside. `errno_of` is the only table
// that turns them into numbers of the host.

#include <cstdint>
#include <string_view>

namespace bulkhead {

enum class Error : uint8_t {
	// Of every wait and every coroutine.
	CANCELLED = 1, // the job was cancelled
	TIMEOUT, // the deadline has passed
	OUT_OF_FRAMES, // the job's arena can't hold another coroutine frame

	// Of an open file or device.
	WOULD_BLOCK, // nothing to read, or no room to write, and the caller does not want to wait
	BUSY, // in use by someone else
	IO, // the device failed or answered nonsense
	GONE, // the device, peer or medium is no longer there
	TOO_LONG, // more bytes than a message, transfer or name may have
	INVALID, // an argument that has no meaning here
	NOT_SUPPORTED, // a valid request that this object doesn't know
	DENIED, // the policy or the permission bits say no
	BROKEN_PIPE, // the other end has closed

	// Of names and storage.
	NOT_FOUND,
	EXISTS,
	NOT_A_DIRECTORY,
	IS_A_DIRECTORY,
	NOT_EMPTY,
	TOO_MANY_LINKS, // a loop of symbolic links
	CROSS_DEVICE, // rename or link from one file system to another
	READ_ONLY,
	NO_SPACE,
	OUT_OF_MEMORY,
	TOO_MANY_OPEN,
	NOT_SEEKABLE,
	RANGE, // a size or offset beyond what can be represented
};

/* The errno of Linux for an error. The numbers are the ABI's, so this needs no header of a host. */
constexpr int errno_of(Error error)
{
	switch (error) {
	case Error::CANCELLED: return 4; // EINTR
	case Error::TIMEOUT: return 110; // ETIMEDOUT
	case Error::OUT_OF_FRAMES: return 12; // ENOMEM
	case Error::WOULD_BLOCK: return 11; // EAGAIN
	case Error::BUSY: return 16; // EBUSY
	case Error::IO: return 5; // EIO
	case Error::GONE: return 19; // ENODEV
	case Error::TOO_LONG: return 90; // EMSGSIZE
	case Error::INVALID: return 22; // EINVAL
	case Error::NOT_SUPPORTED: return 95; // EOPNOTSUPP
	case Error::DENIED: return 13; // EACCES
	case Error::BROKEN_PIPE: return 32; // EPIPE
	case Error::NOT_FOUND: return 2; // ENOENT
	case Error::EXISTS: return 17; // EEXIST
	case Error::NOT_A_DIRECTORY: return 20; // ENOTDIR
	case Error::IS_A_DIRECTORY: return 21; // EISDIR
	case Error::NOT_EMPTY: return 39; // ENOTEMPTY
	case Error::TOO_MANY_LINKS: return 40; // ELOOP
	case Error::CROSS_DEVICE: return 18; // EXDEV
	case Error::READ_ONLY: return 30; // EROFS
	case Error::NO_SPACE: return 28; // ENOSPC
	case Error::OUT_OF_MEMORY: return 12; // ENOMEM
	case Error::TOO_MANY_OPEN: return 24; // EMFILE
	case Error::NOT_SEEKABLE: return 29; // ESPIPE
	case Error::RANGE: return 75; // EOVERFLOW
	}
	return 5; // EIO
}

/* The name of an error in lower case words, for messages and information files. */
constexpr std::string_view name_of(Error error)
{
	switch (error) {
	case Error::CANCELLED: return "cancelled";
	case Error::TIMEOUT: return "timed out";
	case Error::OUT_OF_FRAMES: return "out of coroutine frames";
	case Error::WOULD_BLOCK: return "would block";
	case Error::BUSY: return "busy";
	case Error::IO: return "input/output error";
	case Error::GONE: return "device is gone";
	case Error::TOO_LONG: return "too long";
	case Error::INVALID: return "invalid argument";
	case Error::NOT_SUPPORTED: return "not supported";
	case Error::DENIED: return "permission denied";
	case Error::BROKEN_PIPE: return "other end closed";
	case Error::NOT_FOUND: return "not found";
	case Error::EXISTS: return "exists already";
	case Error::NOT_A_DIRECTORY: return "not a directory";
	case Error::IS_A_DIRECTORY: return "is a directory";
	case Error::NOT_EMPTY: return "directory not empty";
	case Error::TOO_MANY_LINKS: return "too many symbolic links";
	case Error::CROSS_DEVICE: return "on another file system";
	case Error::READ_ONLY: return "read-only";
	case Error::NO_SPACE: return "no space left";
	case Error::OUT_OF_MEMORY: return "out of memory";
	case Error::TOO_MANY_OPEN: return "too many open files";
	case Error::NOT_SEEKABLE: return "not seekable";
	case Error::RANGE: return "out of range";
	}
	return "unknown error";
}

/* Names the error enum that `convert_error` is to yield. */
template <typename E>
struct Into
{};

/*
 * An error that is wanted as itself stays itself. Modules add `constexpr TO convert_error(FROM,
 * Into<TO>)` beside their enum; it is found by the namespace of either.
 */
template <typename E>
constexpr E convert_error(E error, Into<E>)
{
	return error;
}

/* What the outside (file system, C interface, wire) sees of any module's error. */
template <typename E>
constexpr Error outer_error(E error)
{
	return convert_error(error, Into<Error>{});
}

} // namespace bulkhead
