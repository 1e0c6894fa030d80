#pragma once

// What a domain writes to its standard output and error, as lines with their time in a file that
// doesn't grow beyond a limit. A domain that writes too much waits; a disk that is full costs
// lines.

#include "platform/linux/descriptor.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::broker {

class Log_file
{
public:
	static constexpr size_t READ_MAX = 64 * 1024; // at a time
	static constexpr uint64_t RATE_MAX = 1 << 20; // bytes a second, for long
	static constexpr uint64_t BURST_MAX = 4 << 20;

	enum class Pipe : uint8_t {
		OPEN,
		PAUSED, // not to be read before `resumes_us`
		ENDED, // nobody writes to it any more
	};

private:
	std::string _path;
	uint64_t _bytes_max;
	linux_host::Owned_fd _pipe;
	linux_host::Owned_fd _file{};
	uint64_t _size = 0;
	uint64_t _lost = 0; // bytes that couldn't be written
	uint64_t _allowance = BURST_MAX;
	uint64_t _filled_us = 0;
	uint64_t _resumes_us = 0;
	bool _in_line = false;
	char _last = '\n';
	std::string _trouble{};

	void _open(int flags);
	void _write(std::string_view text);
	void _append(std::string_view text);
	std::string _lines(std::string_view text);
	void _refill(uint64_t now_us);

public:
	/* The file is made when there is something to write; its directory is there. */
	Log_file(std::string path, uint64_t bytes_max, linux_host::Owned_fd pipe);

	std::string const &path() const { return _path; }
	int pipe() const { return _pipe.value(); }

	/* Takes what is in the pipe, some of it. */
	Pipe take(uint64_t now_us);
	/* Takes all, as nobody writes there any more. */
	void finish();
	uint64_t resumes_us() const { return _resumes_us; }

	/* What is wrong with the file, or is no longer, once; else empty. */
	std::string trouble() { return std::exchange(_trouble, {}); }
};

} // namespace bulkhead::broker
