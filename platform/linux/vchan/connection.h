#pragma once

// One end of a channel between two processes of this host, from the search for the other end to the
// end of the last: memory that is sealed against shrinking, a bell each way (bell.h), and the
// kernel's word on who the peer is and when it dies. Knows no event loop: one descriptor says when
// to look. loop_connection.h has it wait in a Loop.

#include "platform/linux/vchan/channel.h"
#include "platform/linux/vchan/directory.h"
#include "platform/linux/vchan/sealed_memory.h"
#include "vchan/endpoint.h"

#include <ctime>
#include <optional>

namespace bulkhead::linux_host {

/* Whether a domain may have a channel to itself: Xen knows none, so only who asks for it has one.
 */
enum class Within_domain : uint8_t { NO, YES };

/*
 * Belongs to one thread, as the Endpoint in it, which the caller uses once it is there: to send,
 * receive, and to say what is waited for. No call blocks except `wait`, and those of Directory.
 * Does one of `listen`, `connect` and `adopt` once; again only after an error of theirs, or after
 * one of `look` that has ended a client's search.
 * A child that was forked and calls no exec holds its parent's end, too: then the peer hears of the
 * death of the last of them.
 */
class Connection
{
private:
	static constexpr unsigned PENDING_MAX = 4; // clients that have not yet said who they are

	enum class Phase : uint8_t {
		IDLE,
		LISTENING, // server: no client yet
		SEARCHING, // client: no server yet
		GREETING, // client: waits for the server's answer
		JOINED, // both sides have the channel
	};

	Phase _phase = Phase::IDLE;
	Directory _directory{};
	Channel_name _name{};
	Owned_fd _epoll{};
	Listening _listener{};
	Owned_fd _pending[PENDING_MAX]{};
	unsigned _next_pending = 0;
	Name_watch _watch{};
	Owned_fd _ticks{}; // in its place where the system has no more inotify instances: a timer
	Owned_fd _greeting{}; // to the server that has not answered yet
	unsigned _dropped = 0; // how many servers have ended without an answer
	Owned_fd _to_share{}; // the memory, as long as no client has it
	Sealed_memory _memory{};
	Bell _bell{};
	uint32_t _generation = 0;
	uid_t _peer_user = 0;
	std::string _message{};
	std::optional<vchan::Endpoint> _endpoint{}; // after all that it uses

	Connect_error _fail(Connect_error, std::string_view text);
	Connect_error _fail(std::string_view call, int number);
	Connect_error _fail_directory(Connect_error);
	Attempt<void, Connect_error> _begin(
		Channel_name const &, std::string const &directory, Within_domain);
	Attempt<void, Connect_error> _make_epoll();
	Attempt<void, Connect_error> _make_memory(vchan::Sizes);
	Attempt<void, Connect_error> _observe(int fd, uint32_t events, uint32_t subject);

	void _forget(Owned_fd &watched);
	void _end_search();
	Attempt<void, Connect_error> _begun(Attempt<void, Connect_error> const &);
	Attempt<void, Connect_error> _listen(
		Channel_name const &, vchan::Sizes, std::string const &directory, Within_domain);
	Attempt<void, Connect_error> _connect(
		Channel_name const &, std::string const &directory, Within_domain);

	Attempt<void, Connect_error> _search();
	Attempt<void, Connect_error> _search_by_time();
	Attempt<void, Connect_error> _greet(Owned_fd server);
	Attempt<void, Connect_error> _changed();
	Attempt<void, Connect_error> _answered();
	Attempt<void, Connect_error> _attach(Channel_end);

	Attempt<void, Connect_error> _accept();
	Attempt<void, Connect_error> _hear(Owned_fd client);
	Attempt<void, Connect_error> _greeted(Owned_fd &client);
	Attempt<void, Connect_error> _welcome(Owned_fd &client);

	Attempt<void, Connect_error> _handle(uint32_t subject, uint32_t events);
	Attempt<bool, Connect_error> _look(timespec const *patience);

public:
	Connection() = default;
	Connection(Connection const &) = delete;
	Connection &operator=(Connection const &) = delete;
	/* Closes. */
	~Connection();

	/*
	 * Waits in the directory for a client; there is an endpoint at once, which may already send.
	 * Sizes in bytes, rounded up to powers of two. Errors: all of Connect_error except those of a
	 * peer.
	 */
	Attempt<void, Connect_error> listen(Channel_name const &, vchan::Sizes,
		std::string const &directory = Directory::default_path(),
		Within_domain = Within_domain::NO);

	/*
	 * Looks for the server in the directory; the endpoint comes with it, at the earliest at once.
	 * Errors: all of Connect_error.
	 */
	Attempt<void, Connect_error> connect(Channel_name const &,
		std::string const &directory = Directory::default_path(),
		Within_domain = Within_domain::NO);

	/* Takes up an end that somebody else has made. Errors: BAD_MEMORY and those of the machine. */
	Attempt<void, Connect_error> adopt(Channel_end);

	/*
	 * Readable when `look` has something to do. The same until the end of this object, `hand_over`,
	 * or a search that begins anew after an error; -1 before and without one.
	 */
	int fd() const { return _epoll.value(); }

	/*
	 * Takes in what has happened: a client or server that came, rings, the peer's death; then the
	 * endpoint answers anew. What a client has done wrong is no error, as the next one may do
	 * better; `message` tells. Errors: all of Connect_error. They end the search of a client; a
	 * server still waits, and has this error again as long as its cause lasts.
	 */
	Attempt<void, Connect_error> look();

	/*
	 * Blocks until there is something to look at, and looks; false if the time has passed before
	 * (microseconds of CLOCK_MONOTONIC) or a signal has interrupted it. What is waited for has to
	 * be armed. A peer that keeps ringing has it return true at once each time, however late it is:
	 * who has a deadline looks at the clock. Not after `hand_over`.
	 */
	Attempt<bool, Connect_error> wait(uint64_t until_us = NEVER_US);

	/* None before a client has found its server. */
	vchan::Endpoint *endpoint() { return _endpoint ? &*_endpoint : nullptr; }

	/* Whether both sides have the channel (and perhaps have closed it again). */
	bool joined() const { return _phase == Phase::JOINED; }

	/* The peer's user, as the kernel says. Of an end that is joined by `listen` or `connect`. */
	uid_t peer_user() const { return _peer_user; }

	/* The last error with its particulars. */
	std::string const &message() const { return _message; }

	/*
	 * For who watches the bell in an event loop of its own: gives up `fd` and returns the bell's
	 * descriptor, which is to be watched edge-triggered (EPOLLIN | EPOLLRDHUP | EPOLLET) and stays
	 * this object's. `heard` is to be told the events. Only when joined.
	 */
	int hand_over();
	void heard(uint32_t events);
};

} // namespace bulkhead::linux_host
