#pragma once

// A file descriptor that is closed with its owner.

#include <unistd.h>
#include <utility>

namespace bulkhead::linux_host {

class Owned_fd
{
private:
	int _fd = -1;

public:
	Owned_fd() = default;
	/* Takes the descriptor over; -1 for none. */
	explicit Owned_fd(int fd) : _fd(fd) {}
	Owned_fd(Owned_fd &&other) noexcept : _fd(std::exchange(other._fd, -1)) {}
	Owned_fd &operator=(Owned_fd &&other) noexcept
	{
		reset(std::exchange(other._fd, -1));
		return *this;
	}
	~Owned_fd() { reset(); }

	/* -1 if there is none. */
	int value() const { return _fd; }
	explicit operator bool() const { return _fd >= 0; }

	/* Closes what it had; `errno` stays. */
	void reset(int fd = -1);

	/* The caller's from now on. */
	int release() { return std::exchange(_fd, -1); }
};

} // namespace bulkhead::linux_host
