#include "tool/domains/logs.h"

#include "component/qrexec/host/local_end.h"
#include "platform/linux/descriptor.h"
#include "tool/domains/control.h"
#include "tool/domains/refusal.h"
#include "tool/report.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace bulkhead::tool {

namespace {

constexpr auto LOOK_AGAIN = std::chrono::milliseconds(100);
constexpr size_t PIECE = 64 * 1024;

/* Writes to standard output; what a domain has written mustn't play tricks with a terminal. */
class Printer
{
private:
	bool const _terminal = isatty(STDOUT_FILENO);

public:
	/* False: it can't be written, which is told. */
	bool print(std::string text)
	{
		if (_terminal)
			qrexec::replace_characters({reinterpret_cast<uint8_t *>(text.data()), text.size()});
		for (size_t done = 0; done < text.size();) {
			ssize_t const size = write(STDOUT_FILENO, text.data() + done, text.size() - done);
			if (size < 0 && errno != EINTR) {
				report({Exit::FAILURE,
					fmt::format("standard output can't be written: {}", strerror(errno))});
				return false;
			}
			if (size > 0) done += static_cast<size_t>(size);
		}
		return true;
	}
};

linux_host::Owned_fd open_log(std::string const &path)
{
	return linux_host::Owned_fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

/* A log and the position up to which it has been printed. */
class Log_reader
{
private:
	std::string const _path;
	linux_host::Owned_fd _file;
	off_t _at = 0;

	/* Whether another file has taken the name. */
	bool _replaced() const
	{
		struct stat ours{}, named{};
		if (stat(_path.c_str(), &named) != 0) return false;
		return !_file || fstat(_file.value(), &ours) != 0 || ours.st_ino != named.st_ino ||
			named.st_size < _at;
	}

public:
	explicit Log_reader(std::string const &path) : _path(path), _file(open_log(path)) {}

	explicit operator bool() const { return static_cast<bool>(_file); }

	/* All that is new, a piece at a time; empty: nothing for now. */
	std::string next()
	{
		std::string piece(PIECE, '\0');
		ssize_t const size = _file ? pread(_file.value(), piece.data(), piece.size(), _at) : 0;
		piece.resize(size > 0 ? static_cast<size_t>(size) : 0);
		_at += static_cast<off_t>(piece.size());
		if (piece.empty() && _replaced()) {
			_file = open_log(_path);
			_at = 0;
		}
		return piece;
	}
};

std::string all_of(Log_reader &reader)
{
	std::string text;
	for (std::string piece = reader.next(); !piece.empty(); piece = reader.next()) text += piece;
	return text;
}

Or_trouble<std::string> log_path(Logs_options const &options)
{
	auto control = Control::open(options.system);
	if (!control.ok()) return control.error();
	auto const json = control.value().status();
	if (!json.ok()) return json.error();
	std::optional<Status> const status = read_status(json.value());
	if (!status) return Trouble{Exit::PEER_BROKE, "the broker's status is no JSON"};
	Domain_status const *const domain = status->find(options.domain);
	if (domain) return domain->log;
	return no_domain(*status, options.domain);
}

} // namespace

std::string last_lines(std::string const &text, uint64_t lines)
{
	size_t from = text.size();
	bool const ended = text.ends_with('\n');
	for (uint64_t line = 0; line < lines && from > 0; ++line) {
		size_t const before = from - (from == text.size() && !ended ? 0 : 1);
		size_t const feed = before == 0 ? std::string::npos : text.rfind('\n', before - 1);
		from = feed == std::string::npos ? 0 : feed + 1;
	}
	return text.substr(from);
}

int show_logs(Logs_options const &options)
{
	auto const path = log_path(options);
	if (!path.ok()) return report(path.error());
	Printer printer;
	Log_reader older(path.value() + ".1");
	Log_reader newer(path.value());
	if (!newer && errno != ENOENT)
		return report({Exit::FAILURE, fmt::format("{}: {}", path.value(), strerror(errno))});
	std::string text = all_of(older) + all_of(newer);
	bool reads = printer.print(options.lines ? last_lines(text, *options.lines) : std::move(text));
	while (options.follow && reads) {
		std::string const piece = newer.next();
		if (piece.empty())
			std::this_thread::sleep_for(LOOK_AGAIN);
		else
			reads = printer.print(piece);
	}
	return static_cast<int>(reads ? Exit::OK : Exit::FAILURE);
}

} // namespace bulkhead::tool
