#pragma once

// What is at the end of a call in this domain: descriptors of whatever kind, which are read and
// written without ever blocking, and without a change that other owners of them would notice.

#include "base/bytes.h"
#include "platform/linux/descriptor.h"
#include "vchan/ring.h"

#include <string>
#include <sys/types.h>

namespace bulkhead::qrexec {

/* What a call's local end consists of. Descriptors of any kind, the relay's from now on. */
struct Local_end
{
	linux_host::Owned_fd to{}; // bytes from the peer are written here
	linux_host::Owned_fd from{}; // and its are read here; none if `socket`
	linux_host::Owned_fd errors{}; // and here, of a service; may be none
	bool socket = false; // `to` is a socket for both ways: its ends are shut down, not closed
	pid_t process = -1; // a child, whose exit code counts; -1: none
	std::string prefix{}; // written to `to` before anything else

	bool connecting = false; // `to` is a TCP socket that has no connection yet
	std::string connect_again{}; // `to` is to be this unix socket, whose queue was full
};

/* `connect_to_local` for a path of any length. */
int connect_to_service(std::string const &path, linux_host::Owned_fd &socket);

/*
 * One descriptor. Others may have it, too: a terminal, standard input of a shell that goes on
 * afterwards. Its O_NONBLOCK is theirs as well, so it stays as it is: sockets are used with
 * MSG_DONTWAIT; pipes and terminals are opened once more; for other devices, and where that can't
 * be (another user's terminal, no /proc), poll is asked before each read or write. Files are always
 * ready.
 */
class Local_stream
{
public:
	enum class Kind : uint8_t { NONE, SOCKET, NONBLOCKING, BLOCKING };

private:
	linux_host::Owned_fd _fd{};
	Kind _kind = Kind::NONE;
	bool _paged = false; // BLOCKING: takes no more than a page for certain

	void _open_once_more(int access);

public:
	/* Takes a descriptor over that is read (or written). */
	void adopt(linux_host::Owned_fd fd, bool to_read);

	int fd() const { return _fd.value(); }
	explicit operator bool() const { return bool(_fd); }
	Kind kind() const { return _kind; }

	/* How many bytes; 0 (reading): the end; -1 and errno, EAGAIN: later. */
	ssize_t read(vchan::Pieces<Mutable_bytes> const &to);
	ssize_t write(Bytes from);

	/* Another descriptor of the same; none if it is none, or there are too many. */
	linux_host::Owned_fd another() const;

	/* Ends this way of a socket. False if it is no socket. */
	bool shut_down(int how);
	void close();
};

/*
 * Replaces what is neither printable ASCII nor one of the characters that a text has (tab, line
 * feed, carriage return, backspace, bell) by underscores.
 */
void replace_characters(Mutable_bytes text);

} // namespace bulkhead::qrexec
