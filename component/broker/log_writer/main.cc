// bulkhead-log-writer: writes the logs of a system's domains, so that its broker waits for no disk.
// Is told by the broker only: log_pipes.h.

#include "component/broker/log_writer/log_file.h"
#include "component/broker/log_writer/log_pipes.h"
#include "platform/linux/clock.h"
#include "platform/linux/gate.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <sys/epoll.h>

namespace bulkhead::broker {
namespace {

class Log_writer
{
private:
	using Files = std::map<std::string, std::unique_ptr<Log_file>>;

	linux_host::Owned_fd _epoll{epoll_create1(EPOLL_CLOEXEC)};
	linux_host::Gate _broker{
		linux_host::Owned_fd(LOG_WRITER_SOCKET), linux_host::Gate_takes::DESCRIPTORS};
	linux_host::Monotonic_clock _clock{};
	Files _files{}; // by path
	std::set<std::pair<uint64_t, std::string>> _paused{}; // by when they are read again

	void _watch(int fd, Log_file *file)
	{
		epoll_event event{};
		event.events = EPOLLIN;
		event.data.ptr = file;
		epoll_ctl(_epoll.value(), EPOLL_CTL_ADD, fd, &event);
	}

	/* Before ours is closed: the broker and its keeper have the same pipe, so that its end would be
	 * told on and on. */
	void _unwatch(Log_file const &file)
	{
		epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, file.pipe(), nullptr);
	}

	void _say(Log_file &file)
	{
		if (std::string const trouble = file.trouble(); !trouble.empty())
			fprintf(stderr, "bulkhead-broker: warning: %s\n", trouble.c_str());
	}

	/* False: the broker has gone. */
	bool _take_pipe()
	{
		std::array<uint8_t, LOG_MESSAGE_MAX> message;
		std::array<linux_host::Owned_fd, 1> pipe;
		auto const received = _broker.receive(message, pipe);
		if (!received.ok()) return received.error() == Error::WOULD_BLOCK;
		if (received.value().bytes == 0) return false;
		if (!pipe[0]) return true;
		std::string_view const text = text_of({message.data(), received.value().bytes});
		uint64_t bytes_max = 0;
		auto const end = std::from_chars(text.data(), text.data() + text.size(), bytes_max).ptr;
		std::string const path(end + 1, text.data() + text.size());
		std::unique_ptr<Log_file> &file = _files[path];
		// What its domain has said before it started anew comes first.
		if (file) _unwatch(*file), file->finish(), _say(*file);
		file = std::make_unique<Log_file>(path, bytes_max, std::move(pipe[0]));
		_watch(file->pipe(), file.get());
		return true;
	}

	void _read(Log_file &file)
	{
		Log_file::Pipe const state = file.take(_clock.now_us());
		if (state != Log_file::Pipe::OPEN) _unwatch(file);
		if (state == Log_file::Pipe::ENDED) file.finish();
		_say(file);
		if (state == Log_file::Pipe::ENDED) {
			_files.erase(std::string(file.path()));
		} else if (state == Log_file::Pipe::PAUSED) {
			_paused.emplace(file.resumes_us(), file.path());
		}
	}

	/* In how many milliseconds the next is to be read again; -1: there is none. */
	int _resume()
	{
		uint64_t const now_us = _clock.now_us();
		while (!_paused.empty() && _paused.begin()->first <= now_us) {
			auto const found = _files.find(_paused.begin()->second);
			if (found != _files.end()) _watch(found->second->pipe(), found->second.get());
			_paused.erase(_paused.begin());
		}
		return _paused.empty() ? -1
							   : static_cast<int>((_paused.begin()->first - now_us) / 1000 + 1);
	}

public:
	int run()
	{
		_watch(_broker.fd(), nullptr);
		while (true) {
			epoll_event event{};
			// One at a time: taking one may remove another.
			if (epoll_wait(_epoll.value(), &event, 1, _resume()) != 1) continue;
			if (event.data.ptr)
				_read(*static_cast<Log_file *>(event.data.ptr));
			else if (!_take_pipe())
				break;
		}
		for (auto &[path, file] : _files) {
			file->finish();
			_say(*file);
		}
		return 0;
	}
};

} // namespace
} // namespace bulkhead::broker

int main() { return bulkhead::broker::Log_writer().run(); }
