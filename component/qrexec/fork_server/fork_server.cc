#include "component/qrexec/fork_server/fork_server.h"

#include "component/qrexec/host/log.h"

#include <array>
#include <cerrno>
#include <sys/socket.h>

namespace bulkhead::qrexec {

Fork_server::Fork_server(linux_host::Loop &loop, Serving serving, rlimit files)
	: _loop(loop), _calls(loop, std::move(serving), {}, files, *this)
{}

bool Fork_server::start(std::string const &path, std::string &why)
{
	Accepted &accepted = *this;
	_listener.emplace(_loop, accepted);
	// Only the agent may ask, which is root's or the same user's.
	if (_listener->start(path, 0600).ok()) return true;
	why = _listener->message();
	return false;
}

void Fork_server::accepted(Unix_server &, linux_host::Owned_fd connection)
{
	if (_connections.size() >= CONNECTIONS_MAX)
		return log("a call is refused: there are ", CONNECTIONS_MAX, " already");
	uint64_t const token = ++_last;
	auto it = std::make_unique<Connection>(*this, std::move(connection), token);
	if (!it->watch().ok()) return log("a call is refused: it can't be watched");
	_connections.emplace(token, std::move(it));
}

// Nothing may be done with this after something that can remove it.
void Fork_server::Connection::ready(uint32_t)
{
	std::array<char, 4096> bytes;
	size_t const wanted = _handed_over ? 1 : std::min(_reader.wanted(), bytes.size());
	ssize_t const size = recv(_socket.value(), bytes.data(), wanted, MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (_handed_over) {
		// The agent has gone, or says what it can't say. The call goes on.
		_server._loop.remove(*this);
		return;
	}
	if (size <= 0) {
		_server._connections.erase(_token);
		return;
	}
	switch (_reader.add({bytes.data(), static_cast<size_t>(size)})) {
	case Handover_reader::Outcome::MORE: return;
	case Handover_reader::Outcome::WRONG:
		log("a call is refused: it isn't what an agent sends");
		_server._connections.erase(_token);
		return;
	case Handover_reader::Outcome::WHOLE: break;
	}
	_handed_over = true;
	auto request = _reader.request();
	_reader = {};
	request->token = _token;
	_server._calls.serve(std::move(request));
}

void Fork_server::call_ended(uint64_t token) { _connections.erase(token); }

} // namespace bulkhead::qrexec
