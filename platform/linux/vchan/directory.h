#pragma once

// Where domains of one host meet without a broker: a directory in which each server that waits has
// a socket. Who may be which domain is the directory's access rule, and the kernel says who a peer
// is. Nothing of a channel stays here once both sides have met.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/vchan/access_rules.h"
#include "platform/linux/vchan/connect_error.h"
#include "platform/linux/vchan/name_watch.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/types.h>

namespace bulkhead::linux_host {

/* One channel to be: who serves, who is the client, and which of the channels between the two. */
struct Channel_name
{
	int server; // domain ids, from 0
	int client;
	int port; // from 0

	/* The name of the socket: vchan.<server>.<client>.<port>.sock, as vchan-socket's. */
	std::string file() const;

	bool operator==(Channel_name const &) const = default;
};

/* A server's socket that clients find by a name. */
struct Listening
{
	Owned_fd socket{};
	ino_t inode = 0; // of the name; nobody else's as long as the socket is open
};

/*
 * Blocks only for the file system and, when it listens, at most ten seconds for the lock of other
 * processes, which whoever may read the directory can have. Needs /proc.
 */
class Directory
{
private:
	/* The lock of the directory; the end of this object unlocks it. */
	class Lock
	{
	private:
		Owned_fd _fd{};

	public:
		explicit Lock(Owned_fd fd) : _fd(std::move(fd)) {}
		Lock(Lock &&) = default;
		Lock &operator=(Lock &&) = delete;
		~Lock();
	};

	/* What a name that clients look for stands for. */
	enum class Found : uint8_t {
		NOTHING,
		SERVER, // connected
		CROWDED_SERVER,
		OTHER_PROTOCOL, // a server, but its socket is of another type
		LEFT_BEHIND, // by a server that was killed
		NO_SOCKET,
		NOT_OURS, // a socket that this user may not connect to
	};
	struct Visit
	{
		Found found;
		uid_t owner; // of what was found
		Owned_fd socket; // if SERVER
	};

	std::string _path{};
	Owned_fd _fd{};
	std::shared_ptr<Access_rules const> _rules{}; // none were given if it is null
	std::string _message{};

	Connect_error _fail(Connect_error, std::string text);
	Connect_error _fail(std::string_view call, int number);
	Connect_error _fail_open(int number);
	Connect_error _fail_watch(Name_watch::Fault const &);
	Connect_error _fail_name(Channel_name const &, Connect_error, std::string const &text);
	Attempt<void, Connect_error> _make_default();
	Attempt<void, Connect_error> _check_safe(struct stat const &);
	Attempt<void, Connect_error> _read_rules(struct stat const &directory);
	Attempt<std::optional<std::string>, Connect_error> _rules_text(
		struct stat const &directory, struct stat &own);
	Attempt<void, Connect_error> _still_there();
	Attempt<Lock, Connect_error> _lock(unsigned patience_ms);
	Attempt<Visit, Connect_error> _visit(std::string const &file);
	Attempt<void, Connect_error> _make_way(Channel_name const &);
	Attempt<Listening, Connect_error> _bind(std::string const &file, mode_t);

public:
	/*
	 * The directory that $BULKHEAD_VCHAN_DIR names, else $XDG_RUNTIME_DIR/bulkhead/vchan, else
	 * /run/bulkhead/vchan. The environment doesn't count in programs that run set-user-ID.
	 */
	static std::string default_path();

	/*
	 * Opens it, and makes it first, for this user alone, if it is missing and is `default_path`
	 * without $BULKHEAD_VCHAN_DIR. It must belong to this user or to root, and others may write to
	 * it only if it is sticky. Reads the access rules, the file `domains` in it, if there is one;
	 * they must belong to the directory's owner or root, and nobody else may write to them. Later
	 * changes of the rules are seen by the next `open`, those of users' numbers within a second.
	 * Errors: NO_DIRECTORY, UNSAFE_DIRECTORY, NOT_ALLOWED (no right to read it), BAD_RULES,
	 * TOO_MANY_OPEN, OUT_OF_MEMORY, SYSTEM.
	 */
	Attempt<void, Connect_error> open(std::string path = default_path());

	/* Absolute, as long as the working directory could be told. */
	std::string const &path() const { return _path; }
	Access_rules const &rules() const;

	/* The last error with its particulars: what, where, and what can be done. */
	std::string const &message() const { return _message; }

	/*
	 * A socket (SOCK_SEQPACKET, non-blocking, listening) that clients find by this name. Replaces
	 * one that a killed server has left. Others may connect to it if the rules know another user
	 * for the client. Errors: NAME_IN_USE, DIRECTORY_FULL, LOCKED, NO_DIRECTORY (removed or moved
	 * meanwhile), TOO_MANY_OPEN, NOT_ALLOWED (no right to write there), OUT_OF_MEMORY, SYSTEM.
	 */
	Attempt<Listening, Connect_error> listen(Channel_name const &);

	/*
	 * Removes the name of a server that `listen` has made, if it is still the same. To be called
	 * before its socket is closed: until then no other server takes the name. Takes no lock.
	 */
	void remove(Channel_name const &, Listening const &);

	/*
	 * A socket that is connected to the server of this name; none as long as no server waits there
	 * (what a killed one has left is removed, unless somebody else has the lock). Errors:
	 * PEER_VERSION (a socket of another type, such as vchan-socket's), CROWDED, NOT_ALLOWED,
	 * NAME_IN_USE (by what is no socket), NO_DIRECTORY (removed or moved meanwhile), TOO_MANY_OPEN,
	 * OUT_OF_MEMORY, SYSTEM.
	 */
	Attempt<Owned_fd, Connect_error> connect(Channel_name const &);

	/*
	 * Begins a watch that has news when this name has come or the directory may have gone, at times
	 * in vain; this object outlives it. Errors: TOO_MANY_OPEN, TOO_MANY_WATCHES, NO_DIRECTORY,
	 * OUT_OF_MEMORY, SYSTEM.
	 */
	Attempt<void, Connect_error> watch(
		Name_watch &, Channel_name const &, int epoll, uint64_t subject);
};

} // namespace bulkhead::linux_host
