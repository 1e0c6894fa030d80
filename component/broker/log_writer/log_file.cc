#include "component/broker/log_writer/log_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

/* "2026-11-22T20:52:03.125Z ", as long everywhere. */
std::string time_stamp()
{
	timespec now{};
	clock_gettime(CLOCK_REALTIME, &now);
	tm parts{};
	gmtime_r(&now.tv_sec, &parts);
	std::array<char, 40> text;
	size_t const size = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
	std::string const ms = std::to_string(1000 + now.tv_nsec / 1'000'000);
	return std::string(text.data(), size) + "." + ms.substr(1) + "Z ";
}

/* Whether a terminal would obey: a control character of ASCII, or the second byte of another in
 * UTF-8. */
bool obeyed(char before, char c)
{
	uint8_t const byte = static_cast<uint8_t>(c);
	if (byte >= 0x80 && byte < 0xa0) return before == '\xc2';
	return (byte < ' ' && c != '\n' && c != '\t') || byte == 0x7f;
}

} // namespace

Log_file::Log_file(std::string path, uint64_t bytes_max, linux_host::Owned_fd pipe)
	: _path(std::move(path)), _bytes_max(bytes_max), _pipe(std::move(pipe))
{
	fcntl(_pipe.value(), F_SETFL, O_NONBLOCK);
}

void Log_file::_open(int flags)
{
	flags |= O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
	_file.reset(open(_path.c_str(), flags, 0640));
	off_t const end = _file ? lseek(_file.value(), 0, SEEK_END) : 0;
	_size = end > 0 ? static_cast<uint64_t>(end) : 0;
}

/* In parts that fit into a file, which end with a line unless a line is longer. */
void Log_file::_write(std::string_view text)
{
	while (text.size() > _bytes_max) {
		size_t const line = text.rfind('\n', _bytes_max - 1);
		size_t const size = line == text.npos ? _bytes_max : line + 1;
		_append(text.substr(0, size));
		text.remove_prefix(size);
	}
	_append(text);
}

void Log_file::_append(std::string_view text)
{
	if (!_file) _open(0);
	if (_size > 0 && _size + text.size() > _bytes_max) {
		rename(_path.c_str(), (_path + ".1").c_str());
		_open(O_TRUNC); // and if it can't be renamed, it doesn't grow all the same
	}
	ssize_t const written = _file ? write(_file.value(), text.data(), text.size()) : -1;
	size_t const done = written > 0 ? static_cast<size_t>(written) : 0;
	_size += done;
	if (done == text.size() && _lost) {
		_trouble =
			_path + ": can be written again; " + std::to_string(_lost) + " bytes are missing";
		_lost = 0;
	} else if (done < text.size()) {
		if (!_lost)
			_trouble = _path + ": " + strerror(written < 0 ? errno : ENOSPC) +
				"; what its domain says is lost until there is room";
		_lost += text.size() - done;
	}
}

/* With the time before each line, and nothing in them that a terminal would obey. */
std::string Log_file::_lines(std::string_view text)
{
	std::string lines;
	std::string const stamp = time_stamp();
	for (char const c : text) {
		if (!_in_line) lines += stamp;
		_in_line = c != '\n';
		lines += obeyed(_last, c) ? '?' : c;
		_last = c;
	}
	return lines;
}

void Log_file::_refill(uint64_t now_us)
{
	uint64_t const gone_us =
		std::min<uint64_t>(now_us - _filled_us, 1'000'000 * (BURST_MAX / RATE_MAX));
	_allowance = std::min(BURST_MAX, _allowance + gone_us * RATE_MAX / 1'000'000);
	_filled_us = now_us;
}

Log_file::Pipe Log_file::take(uint64_t now_us)
{
	_refill(now_us);
	std::array<char, READ_MAX> buffer;
	ssize_t const size = read(_pipe.value(), buffer.data(), READ_MAX);
	if (size < 0) return Pipe::OPEN; // nothing there
	if (size == 0) return Pipe::ENDED;
	std::string const lines = _lines({buffer.data(), static_cast<size_t>(size)});
	_write(lines);
	_allowance -= std::min<uint64_t>(_allowance, lines.size());
	if (_allowance > 0) return Pipe::OPEN;
	_resumes_us = now_us + 1'000'000 * READ_MAX / RATE_MAX;
	return Pipe::PAUSED;
}

void Log_file::finish()
{
	// A pipe holds at most 1 MiB, of which `take` reads some at a time.
	std::array<char, READ_MAX> buffer;
	for (unsigned i = 0; i < 32; ++i) {
		ssize_t const size = read(_pipe.value(), buffer.data(), buffer.size());
		if (size <= 0) break;
		_write(_lines({buffer.data(), static_cast<size_t>(size)}));
	}
	if (_in_line) _write("\n");
	_in_line = false;
	_pipe.reset();
}

} // namespace bulkhead::broker
