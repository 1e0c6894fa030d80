#include "platform/linux/vchan/connect_error.h"

#include <cerrno>

namespace bulkhead::linux_host {

std::string_view name_of(Connect_error error)
{
	switch (error) {
	case Connect_error::BAD_SIZE: return "ring size out of range";
	case Connect_error::BAD_NAME: return "domain or port below 0";
	case Connect_error::SELF: return "a domain has no channel to itself";
	case Connect_error::NO_DIRECTORY: return "no directory to meet in";
	case Connect_error::UNSAFE_DIRECTORY: return "others could change the directory to meet in";
	case Connect_error::BAD_RULES: return "access rules can't be read";
	case Connect_error::LOCKED: return "directory locked by another process";
	case Connect_error::DIRECTORY_FULL: return "no space left in the directory to meet in";
	case Connect_error::NAME_IN_USE: return "another server has this channel's name";
	case Connect_error::NOT_ALLOWED: return "not allowed";
	case Connect_error::PEER_VERSION: return "other end speaks another version or protocol";
	case Connect_error::BAD_MESSAGE: return "other end sent nonsense";
	case Connect_error::BAD_MEMORY: return "other end handed over unusable memory";
	case Connect_error::CROWDED: return "too many clients at once";
	case Connect_error::TOO_MANY_OPEN: return "too many open descriptors";
	case Connect_error::TOO_MANY_WATCHES: return "too many inotify watches";
	case Connect_error::OUT_OF_MEMORY: return "out of memory";
	case Connect_error::SYSTEM: return "system call failed";
	}
	return "unknown error";
}

bulkhead::Error convert_error(Connect_error error, Into<bulkhead::Error>)
{
	switch (error) {
	case Connect_error::BAD_SIZE:
	case Connect_error::BAD_NAME:
	case Connect_error::SELF: return bulkhead::Error::INVALID;
	case Connect_error::NO_DIRECTORY: return bulkhead::Error::NOT_FOUND;
	case Connect_error::UNSAFE_DIRECTORY:
	case Connect_error::BAD_RULES: // who can't tell who is allowed allows nobody
	case Connect_error::NOT_ALLOWED: return bulkhead::Error::DENIED;
	case Connect_error::LOCKED:
	case Connect_error::CROWDED: return bulkhead::Error::BUSY;
	case Connect_error::DIRECTORY_FULL: return bulkhead::Error::NO_SPACE;
	case Connect_error::NAME_IN_USE: return bulkhead::Error::EXISTS;
	case Connect_error::PEER_VERSION: return bulkhead::Error::NOT_SUPPORTED;
	case Connect_error::TOO_MANY_OPEN:
	case Connect_error::TOO_MANY_WATCHES: return bulkhead::Error::TOO_MANY_OPEN;
	case Connect_error::OUT_OF_MEMORY: return bulkhead::Error::OUT_OF_MEMORY;
	case Connect_error::BAD_MESSAGE:
	case Connect_error::BAD_MEMORY:
	case Connect_error::SYSTEM: return bulkhead::Error::IO;
	}
	return bulkhead::Error::IO;
}

Connect_error connect_error_of_errno(int number)
{
	switch (number) {
	case EMFILE:
	case ENFILE:
	case ETOOMANYREFS: return Connect_error::TOO_MANY_OPEN;
	case ENOSPC: // of epoll: the limit of watches
	case ENOMEM:
	case ENOBUFS: return Connect_error::OUT_OF_MEMORY;
	default: return Connect_error::SYSTEM;
	}
}

} // namespace bulkhead::linux_host
