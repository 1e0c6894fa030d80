#pragma once

// A service that is a running program: a unix socket in a directory of services
// (/etc/qubes-rpc/SERVICE). The agent connects for each call and first says which call it is; all
// that follows is the caller's standard input, and what is written back its output.

#include "platform/linux/descriptor.h"
#include "rpc/qrexec/command_line.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

namespace bulkhead::qrexec {

/* A call, as the agent has announced it: checked, and clear of what can't be in a name. */
struct Service_request
{
	std::string service{};
	std::optional<std::string> argument{}; // none if there was no "+"
	std::string source{}; // the domain that calls
	Target_kind target_kind = Target_kind::NONE; // what it has called; only a host is told
	std::string target{};
	uid_t user = 0; // of who has connected
	linux_host::Owned_fd stream{}; // blocks
};

/*
 * What a service is told first, without its NUL: "service+argument source", and on a host
 * " name TARGET" or " keyword TARGET".
 */
Attempt<Service_request, Command_fault> parse_service_descriptor(std::string_view text);

/* Belongs to one thread. Nothing blocks. */
class Service_socket
{
public:
	/* Connections that have not said yet which call they are: the oldest makes room. */
	static constexpr size_t PENDING_MAX = 256;

private:
	struct Pending
	{
		linux_host::Owned_fd socket{};
		std::string text{};
	};
	/* What has become of a connection. */
	enum class Reading : uint8_t { MORE, WHOLE, WRONG };

	linux_host::Owned_fd _epoll{};
	linux_host::Owned_fd _listener{};
	std::string _path{};
	dev_t _device = 0; // of our socket's file: somebody else may have replaced it
	ino_t _inode = 0;
	bool _descriptor = true;
	std::deque<std::unique_ptr<Pending>> _pending{}; // oldest first
	std::string _message{};

	Reading _read(Pending &pending);
	void _drop(Pending const *pending);
	int _accept_all();
	std::unique_ptr<Service_request> _finish(Pending &pending);

public:
	Service_socket() = default;
	Service_socket(Service_socket const &) = delete;
	Service_socket &operator=(Service_socket const &) = delete;
	~Service_socket() { close(); }

	/*
	 * Listens; once. `mode`: who may connect; the agent does as root. Without `descriptor` the
	 * service's settings have skip-service-descriptor, and requests have nothing but a stream.
	 * Returns 0 or an errno: EADDRINUSE (somebody listens there, or it is no socket), ENOENT (no
	 * such directory), ENAMETOOLONG (above 100 bytes), EACCES and what else system calls have.
	 */
	int listen(std::string const &path, mode_t mode = 0600, bool descriptor = true);

	/* Readable when `accept` has something to do. */
	int fd() const { return _epoll.value(); }

	/*
	 * The next call; null if there is none as yet. Returns 0 or an errno: EMFILE, ENFILE, ENOMEM.
	 * Who connects and says nonsense is turned away; `message` tells.
	 */
	int accept(std::unique_ptr<Service_request> &request);

	/* The last error or nonsense in words. */
	std::string const &message() const { return _message; }

	/* Listens no more, and takes the socket out of the directory. */
	void close();
};

} // namespace bulkhead::qrexec
