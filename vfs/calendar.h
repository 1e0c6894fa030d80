#pragma once

// The time of day for the time stamps of files. It is handed in, so that tests are repeatable.

#include <cstdint>

namespace bulkhead::vfs {

class Calendar
{
protected:
	~Calendar() = default;

public:
	/*
	 * Nanoseconds since 1970. A granularity of milliseconds will do, and cheap it should be: it is
	 * asked for each write. Does not block.
	 */
	virtual int64_t now_ns() const = 0;
};

} // namespace bulkhead::vfs
