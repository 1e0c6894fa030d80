#pragma once

// The two places where a call is asked for on the same machine: the socket of a domain's daemon, on
// a host, and the socket of the agent, within a domain. Each is one question and one answer, after
// which the connection stays open only to tell of the call's end. An agent whose domain has a
// broker gives the end of the channel along with its answer. Nothing blocks.

#include "platform/linux/vchan/channel.h"
#include "rpc/qrexec/message_reader.h"

#include <array>
#include <optional>
#include <string>

namespace bulkhead::qrexec {

enum class Link_error : uint8_t {
	NOT_THERE = 1, // no socket, or nobody listens on it
	NOT_ALLOWED, // no right to connect
	BAD_NAME, // a path, name or command that can't be one
	TOO_LONG, // a name or command that no message can carry
	REFUSED, // the other side has closed instead of answering
	BAD_ANSWER, // what is no answer
	PEER_VERSION, // a daemon's, below LOCAL_VERSION
	TOO_MANY_OPEN,
	SYSTEM,
};

std::string_view name_of(Link_error error);
/* EACCES is only REFUSED. */
int errno_of(Link_error error);

/* Where daemons have their sockets: $QREXEC_SOCKET_DIR of ours, else /run/qubes. */
std::string default_socket_directory();
/* /var/run/qubes/qrexec-agent */
inline constexpr char AGENT_SOCKET[] = "/var/run/qubes/qrexec-agent";

/* One exchange. Belongs to one thread. */
class Link
{
public:
	enum class State : uint8_t {
		IDLE,
		ASKING, // connecting, greeting, sending, waiting for the answer
		ANSWERED,
		ENDED, // and the other side has closed since: the call is over (daemon)
	};

private:
	linux_host::Owned_fd _socket{}; // or a timer, while there are too many before us
	State _state = State::IDLE;
	bool _connected = false;
	bool _deaf = false; // the other side reads no more
	bool _daemon = false; // else: agent
	uint64_t _pause_us = 0;
	Type _type{}; // of the question, and of a daemon's answer
	bool _answer_expected = true;
	std::string _path{};
	std::string _to_send{};
	Exec_params _answer{};
	std::string _message{};

	uint8_t _buffer[Header::BYTES + Exec_params::BYTES]{};
	Message_reader _reader{_buffer, Direction::DAEMON_TO_CLIENT, LOCAL_VERSION};
	size_t _filled = 0; // of an agent's answer, in the buffer
	std::array<linux_host::Owned_fd, 3> _brought{}; // with it: memory, bell out, bell in
	size_t _brought_count = 0;

	Link_error _fail(Link_error error, std::string message);
	Attempt<void, Link_error> _begin(std::string path);
	Attempt<void, Link_error> _connect();
	Attempt<void, Link_error> _pause();
	std::string _who() const;
	Attempt<void, Link_error> _send();
	Attempt<size_t> _receive_some(Mutable_bytes to);
	Attempt<void, Link_error> _receive();
	Attempt<void, Link_error> _closed();
	Attempt<void, Link_error> _take(Bytes bytes);
	Attempt<void, Link_error> _take_agents_answer(Bytes bytes);
	Attempt<void, Link_error> _take_message(Message_reader::Message const &message);
	Link_error _more_than_an_answer();
	void _answered();

public:
	Link() = default;
	Link(Link const &) = delete;
	Link &operator=(Link const &) = delete;

	/*
	 * Asks the daemon of a domain (a name, an id, "uuid:…") for a connection: EXEC_CMDLINE or
	 * JUST_EXEC with a command line, or SERVICE_CONNECT with an ident; `params.port` 0 has it
	 * choose a port, which is the answer; with a port there is none, and ANSWERED means sent.
	 * Errors: NOT_THERE, NOT_ALLOWED, BAD_NAME, TOO_LONG, TOO_MANY_OPEN, SYSTEM.
	 */
	Attempt<void, Link_error> ask_daemon(std::string const &directory, std::string_view domain,
		Type type, Exec_params params, std::string_view command_or_ident);

	/* Asks the agent for a service call; an empty ident is "SOCKET". Errors: the same. */
	Attempt<void, Link_error> ask_agent(std::string const &socket, Trigger trigger);

	/*
	 * To be watched for `wanted` (EPOLLIN, EPOLLOUT); -1 before. Another one after a `look` that
	 * has found the other side's queue full, or no longer full.
	 */
	int fd() const { return _socket.value(); }
	uint32_t wanted() const;

	/*
	 * Does what can be done now. Errors: REFUSED, BAD_ANSWER, PEER_VERSION, SYSTEM, and those of
	 * the question if there was a queue.
	 */
	Attempt<State, Link_error> look();

	State state() const { return _state; }
	/* Domain and port to connect to; once ANSWERED. */
	Exec_params answer() const { return _answer; }
	/*
	 * Our end of the channel, if it came with the answer, once; its generation is the port.
	 * Otherwise one listens there.
	 */
	std::optional<linux_host::Channel_end> take_end();
	/* The last error in words: what, where, remedy. */
	std::string const &message() const { return _message; }

	void close();
};

} // namespace bulkhead::qrexec
