#pragma once

// Calls that a domain's agent hands to a user's session: each on a connection of its own, which is
// closed when the call has ended.

#include "component/qrexec/agent/calls.h"
#include "component/qrexec/agent/handover.h"
#include "component/qrexec/host/unix_server.h"

namespace bulkhead::qrexec {

/* Belongs to the loop's thread, the only one of its process. */
class Fork_server final : private Unix_server::Accepted, private Calls::Events
{
private:
	/* A connection: what is asked for, and then that the call goes on. */
	class Connection final : private linux_host::Loop::Source
	{
	private:
		Fork_server &_server;
		linux_host::Owned_fd _socket;
		uint64_t const _token;
		Handover_reader _reader{};
		bool _handed_over = false;

		void ready(uint32_t) override;

	public:
		Connection(Fork_server &server, linux_host::Owned_fd socket, uint64_t token)
			: _server(server), _socket(std::move(socket)), _token(token)
		{}
		~Connection() { _server._loop.remove(*this); }

		Attempt<void> watch() { return _server._loop.add(*this, _socket.value(), EPOLLIN); }
	};

	static constexpr size_t CONNECTIONS_MAX = 4096;

	linux_host::Loop &_loop;
	Calls _calls;
	std::optional<Unix_server> _listener{};
	std::unordered_map<uint64_t, std::unique_ptr<Connection>> _connections{};
	uint64_t _last = 0;

	void accepted(Unix_server &, linux_host::Owned_fd connection) override;
	void call_ended(uint64_t token) override;

public:
	/* `files`: the limit of open descriptors that services get. */
	Fork_server(linux_host::Loop &loop, Serving serving, rlimit files);

	/* Listens. False: `why`. */
	bool start(std::string const &path, std::string &why);

	/* In the process that is going to serve, while it is small. */
	void prepare() { _calls.prepare(); }

	/* Takes no more calls; those of this process go on. */
	void stop() { _listener.reset(); }
};

} // namespace bulkhead::qrexec
