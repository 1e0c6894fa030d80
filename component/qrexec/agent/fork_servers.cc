#include "component/qrexec/agent/fork_servers.h"

#include "component/qrexec/agent/handover.h"
#include "component/qrexec/host/local_end.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"

#include <cerrno>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

constexpr size_t ENTRY_MAX = 65536; // of the user database

bool has_id(std::string const &user, uid_t id)
{
	std::string memory(ENTRY_MAX, '\0');
	passwd entry{}, *found = nullptr;
	(void)getpwnam_r(user.c_str(), &entry, memory.data(), memory.size(), &found);
	return found && found->pw_uid == id;
}

// Whether who listens there is the user, or the one that we are.
bool is_of(std::string_view user, Owned_fd const &socket)
{
	ucred peer{};
	socklen_t size = sizeof(peer);
	if (getsockopt(socket.value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
	return peer.uid == geteuid() || has_id(std::string(user), peer.uid);
}

} // namespace

Fork_servers::Fork_servers(linux_host::Loop &loop, std::string pattern, Events &events)
	: _loop(loop), _pattern(std::move(pattern)), _events(events)
{}

Fork_servers::~Fork_servers() { leave(); }

void Fork_servers::leave()
{
	_calls.for_each([](Handed_over &call) { delete &call; });
}

std::optional<std::string> Fork_servers::_path(std::string_view user) const
{
	// A name is one part of a path, whoever chose it.
	if (_pattern.empty() || user.empty() || user.find('/') != user.npos) return {};
	std::string path = _pattern;
	if (size_t const place = path.find("%s"); place != path.npos) path.replace(place, 2, user);
	return path;
}

bool Fork_servers::hand_over(Service_request const &request)
{
	std::optional<std::string> const path = _path(request.user());
	if (!path) return false;
	Owned_fd socket;
	if (int const error = connect_to_service(*path, socket)) {
		if (error != ENOENT && error != ECONNREFUSED)
			log("the fork server at ", *path, " isn't used: ", errno_text(error));
		return false;
	}
	if (!is_of(request.user(), socket)) {
		log("the fork server at ", *path, " isn't used: another user runs it; remove it");
		return false;
	}
	auto call = std::make_unique<Handed_over>(*this, std::move(socket), request);
	if (!call->send() || !call->begin().ok()) return false;
	_calls.push_back(*call.release());
	return true;
}

void Fork_servers::_over(Handed_over &call)
{
	uint64_t const token = call.token();
	delete &call;
	_events.call_ended(token);
}

Fork_servers::Handed_over::Handed_over(
	Fork_servers &servers, Owned_fd socket, Service_request const &request)
	: _servers(servers),
	  _socket(std::move(socket)),
	  _token(request.token),
	  _to_send(handover_of(request))
{}

Attempt<void> Fork_servers::Handed_over::begin()
{
	uint32_t const events = EPOLLIN | EPOLLRDHUP | (_to_send.empty() ? 0U : uint32_t{EPOLLOUT});
	return _servers._loop.add(*this, _socket.value(), events);
}

bool Fork_servers::Handed_over::send()
{
	while (!_to_send.empty()) {
		ssize_t const sent =
			::send(_socket.value(), _to_send.data(), _to_send.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN) return true;
		if (sent < 0) return false;
		_to_send.erase(0, static_cast<size_t>(sent));
	}
	return true;
}

void Fork_servers::Handed_over::ready(uint32_t events)
{
	if (events & EPOLLOUT) {
		if (!send()) return _servers._over(*this);
		if (_to_send.empty()) static_cast<void>(_servers._loop.change(*this, EPOLLIN | EPOLLRDHUP));
	}
	if (!(events & ~uint32_t{EPOLLOUT})) return;
	// Fork servers say nothing: whatever it is, that was it.
	_servers._over(*this);
}

} // namespace bulkhead::qrexec
