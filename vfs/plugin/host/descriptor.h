#pragma once

// File descriptors of the host and who owns them.

#include "base/allocator.h"
#include "base/counted.h"
#include "base/offload.h"

#include <unistd.h>
#include <utility>

namespace bulkhead::vfs {

/* The error that an errno stands for. */
Error error_of_errno(int number);

/* A descriptor with one owner. */
class Unique_fd
{
private:
	int _fd = -1;

public:
	Unique_fd() = default;
	explicit Unique_fd(int fd) : _fd(fd) {}
	Unique_fd(Unique_fd &&other) noexcept : _fd(other.release()) {}
	Unique_fd &operator=(Unique_fd &&other) noexcept
	{
		std::swap(_fd, other._fd);
		return *this;
	}
	~Unique_fd()
	{
		if (_fd >= 0) close(_fd);
	}

	explicit operator bool() const { return _fd >= 0; }
	int number() const { return _fd; }
	int release() { return std::exchange(_fd, -1); }
};

/*
 * A descriptor that operations share while they run on other threads, so that it isn't closed under
 * them. Referred to by the thread of the jobs only. Closing may block, so it runs elsewhere, too.
 */
class Descriptor final : public Counted, private Offload::Work
{
private:
	Allocator &_allocator;
	Offload &_offload;
	unsigned &_count;
	Unique_fd _fd;

	void run() override { _fd = Unique_fd(); }
	void done() override { destroy(_allocator, *this); }

protected:
	void unreferenced() override
	{
		--_count;
		if (!_offload.submit(*this).ok()) done();
	}

public:
	Descriptor(Allocator &allocator, Offload &offload, unsigned &count, Unique_fd fd)
		: _allocator(allocator), _offload(offload), _count(count), _fd(std::move(fd))
	{
		++_count;
	}

	int number() const { return _fd.number(); }
};

} // namespace bulkhead::vfs
