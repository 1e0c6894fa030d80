#pragma once

// Where a server and a client of vchan-socket meet: a unix stream socket in a directory, its name
// made of the two domains and the port. Names and files as QubesOS/qubes-core-vchan-socket has
// them.

#include "platform/linux/descriptor.h"
#include "platform/linux/vchan/name_watch.h"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace bulkhead::sdk {

struct Socket_name
{
	std::string directory;
	std::string file; // in it

	/* An empty directory is $VCHAN_SOCKET_DIR, or else /var/run/vchan. */
	Socket_name(std::string directory, int server, int client, int port);

	std::string path() const { return directory + '/' + file; }
};

/*
 * Waits under a name for one client. The name is there as long as this waits and nobody else has
 * taken it over.
 */
class Socket_listener
{
private:
	linux_host::Owned_fd _fd{};
	std::string _path{};
	dev_t _device = 0; // of our socket's file: another server may have replaced it
	ino_t _inode = 0;
	int _epoll = -1;

	int _bind(std::string const &directory, std::string &temporary, std::string &why);
	int _publish(std::string &temporary, std::string &why);
	void _unlink();

public:
	Socket_listener() = default;
	Socket_listener(Socket_listener const &) = delete;
	Socket_listener &operator=(Socket_listener const &) = delete;
	~Socket_listener() { close(); }

	/*
	 * Returns 0 or an errno: EADDRINUSE (another server waits there, or the name is no socket's),
	 * ENOENT (no such directory), ENAMETOOLONG, EACCES and what else system calls have. What a dead
	 * server has left is replaced. Doesn't block.
	 */
	int listen(Socket_name const &, std::string &why);

	/* Has `epoll`, which outlives this, become readable when a client is there. 0 or an errno. */
	int watch(int epoll);

	/*
	 * The first client, and closes: others find nobody. Empty with error 0 if none is there, or
	 * with an errno, for example EMFILE.
	 */
	linux_host::Owned_fd accept(int &error);

	void close();
};

/* Looks for a server under a name. */
class Socket_search
{
private:
	Socket_name _name;
	linux_host::Owned_fd _candidate{};
	linux_host::Name_watch _watch{};
	linux_host::Owned_fd _timer{}; // for what the directory doesn't tell
	int _epoll = -1;
	int64_t _pause_ns = 0;

	int _try(bool &found, std::string &why);
	int _sleep();

public:
	explicit Socket_search(Socket_name name) : _name(std::move(name)) {}
	Socket_search(Socket_search const &) = delete;
	Socket_search &operator=(Socket_search const &) = delete;
	~Socket_search();

	/*
	 * Has `epoll` become readable when it is time for `look`. Returns 0 or an errno. `epoll`
	 * outlives this.
	 */
	int begin(int epoll, std::string &why);

	/*
	 * The connected socket, or an empty one with error 0 if there is no server as yet, or with an
	 * errno: ENOENT (the directory has gone), EACCES and what else system calls have. Doesn't
	 * block.
	 */
	linux_host::Owned_fd look(int &error, std::string &why);
};

} // namespace bulkhead::sdk
