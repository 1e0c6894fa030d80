#pragma once

// The unix socket at which a program can be asked for something.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

#include <string>
#include <sys/stat.h>

namespace bulkhead::qrexec {

/*
 * Listens and accepts. A socket that somebody has left behind is replaced, at no moment is there
 * none; one that somebody serves, or a file that is no socket, is left alone. Without descriptors
 * left it stops accepting for a while: who asks then waits. Removes its socket in the end, unless
 * it has been replaced.
 */
class Unix_server final : private linux_host::Loop::Source
{
public:
	class Accepted
	{
	protected:
		~Accepted() = default;

	public:
		/* Close-on-exec and non-blocking. The server may be destroyed here. */
		virtual void accepted(Unix_server &server, linux_host::Owned_fd connection) = 0;
	};

private:
	struct Pause final : linux_host::Loop::Source
	{
		Unix_server &server;

		explicit Pause(Unix_server &s) : server(s) {}
		void ready(uint32_t) override { server.resume(); }
	};

	linux_host::Loop &_loop;
	Accepted &_to;
	linux_host::Owned_fd _listener{};
	linux_host::Owned_fd _timer{}; // made at the beginning: later there may be no descriptor left
	Pause _pause{*this};
	std::string _path{};
	dev_t _device = 0;
	ino_t _inode = 0;
	bool _paused = false;
	bool _complained = false;
	std::string _message{};

	void ready(uint32_t) override;
	void _wait();

public:
	/* Loop and `to` outlive it. */
	Unix_server(linux_host::Loop &loop, Accepted &to) : _loop(loop), _to(to) {}
	~Unix_server();

	/* Errors: as `listen_locally` and `Loop::add` have them, all with a `message`. */
	Attempt<void> start(std::string path, mode_t mode);

	/* What went wrong, in one line. */
	std::string const &message() const { return _message; }

	/* Some descriptors are free again: accepts at once. */
	void resume();
};

} // namespace bulkhead::qrexec
