#pragma once

// The sockets on which the policy is asked: policy.sock for daemons, policy.EvalSimple and
// policy.EvalGUI for domains that want to know and not to call.

#include "component/qrexec/policy_daemon/office.h"

namespace bulkhead::qrexec {

/* What is spoken on a socket. */
enum class Face : uint8_t { DAEMONS, EVAL_SIMPLE, EVAL_GUI };

/* Of the loop's thread. */
class Server
{
public:
	// If more come, the one goes first that has been silent for longest.
	static constexpr size_t CONNECTIONS_MAX = 1024;

private:
	class Connection;
	class Listener;

	Office &_office;
	linux_host::Owned_fd _spare{};
	std::vector<std::unique_ptr<Listener>> _listeners;
	std::list<std::unique_ptr<Connection>> _connections; // in the order of their coming

	bool _make_room();
	void _close(Connection &connection);

public:
	explicit Server(Office &office);
	~Server();

	/* Serves whoever connects. The socket doesn't block. Errors: those of `Loop::add`. */
	Attempt<void> listen(linux_host::Owned_fd socket, Face face);

	/* Serves one connection. */
	void adopt(linux_host::Owned_fd socket, Face face);

	size_t connections() const { return _connections.size(); }
};

} // namespace bulkhead::qrexec
