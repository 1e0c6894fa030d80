#pragma once

// Standard input and output, and those of a command, without ever waiting in a read or a write: who
// moves bytes both ways must not be held up by one of them.

#include "platform/linux/descriptor.h"

#include <sys/types.h>
#include <sys/uio.h>

namespace bulkhead::tool {

/*
 * Has those of 0, 1 and 2 that are closed be /dev/null: else the next descriptor, a channel's for
 * example, would be taken for one of them.
 */
void occupy_standard_descriptors();

/* What is read from. */
class Input
{
private:
	linux_host::Owned_fd _owned{};
	int _fd = -1;

public:
	/* None: at its end from the beginning. */
	Input() = default;
	/* A descriptor that stays the caller's. */
	explicit Input(int fd) : _fd(fd) {}
	explicit Input(linux_host::Owned_fd fd) : _owned(std::move(fd)), _fd(_owned.value()) {}

	int fd() const { return _fd; }
	bool exists() const { return _fd >= 0; }

	/* Bytes that were read, 0 at the end, or a negative errno: EAGAIN if there are none yet. */
	ssize_t read(iovec const *pieces, int count);

	/* Whether something that a program has written is still there. */
	bool left_over() const;
};

/* What is written to. */
class Output
{
private:
	enum class Kind {
		FILE, // never makes one wait for long
		NON_BLOCKING,
		SOCKET,
		CAREFUL, // may make one wait for all but a little
	};

	linux_host::Owned_fd _owned{};
	int _fd = -1; // what is written to
	int _original = -1; // the caller's
	Kind _kind = Kind::FILE;

public:
	/* None: what is written vanishes. */
	Output() = default;
	/* A descriptor that stays the caller's, whose flags others may rely on. */
	explicit Output(int fd);
	/* One that nobody else has. */
	explicit Output(linux_host::Owned_fd fd);

	int fd() const { return _fd; }
	bool exists() const { return _fd >= 0; }

	/*
	 * Bytes that were written, or a negative errno: EAGAIN if there is no room, EPIPE if nobody
	 * will read them.
	 */
	ssize_t write(iovec const *pieces, int count);

	/* The reader sees the end, if nobody else has the other descriptor of it. */
	void end();
};

} // namespace bulkhead::tool
