#include "component/qrexec/policy_daemon/server.h"

#include "component/qrexec/policy_daemon/journal.h"
#include "component/qrexec/policy_daemon/wire.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

// How many connections are taken before others have their turn.
constexpr unsigned ACCEPTED_AT_ONCE = 16;

} // namespace

/* One connection: one question, one answer. */
class Server::Connection final : private linux_host::Loop::Source, private Question::Asker
{
private:
	Server &_server;
	Owned_fd _socket;
	Face const _face;
	std::string _received{};
	std::optional<Question> _question{};
	bool _beginning = false;
	bool _answered = false;

	void ready(uint32_t) override
	{
		// Who has asked and is gone withdraws his question.
		if (_question || _receive()) _server._close(*this);
	}

	/* True once there is nothing left to do. */
	bool _receive()
	{
		char part[4096];
		ssize_t const size = recv(_socket.value(), part, sizeof(part), MSG_DONTWAIT);
		if (size < 0) return errno != EAGAIN && errno != EINTR;
		size_t const before = _received.size();
		_received.append(part, static_cast<size_t>(size));
		bool const whole = size == 0 || _received.size() > question_max(_face) ||
			(_face == Face::DAEMONS && question_complete(_received, before));
		return whole && _begin();
	}

	bool _begin()
	{
		// Somebody has only looked whether we are there.
		if (_received.empty()) return true;
		auto parsed = parse_question(_face, _received);
		if (auto const *const fault = std::get_if<std::string>(&parsed)) {
			_server._office.journal.log(Level::ERROR, *fault);
			return true;
		}
		_received = {};
		Question::Asker &me = *this;
		_question.emplace(_server._office, me, std::move(std::get<Asked>(parsed)));
		_beginning = true;
		_question->begin();
		_beginning = false;
		if (_answered) return true;
		// Who has only ended his side still waits: of interest is a hang-up, which needs no word,
		// and an event that a unix socket never has.
		linux_host::Loop &loop = _server._office.loop;
		return !(this->loop() ? loop.change(*this, EPOLLPRI).ok()
							  : loop.add(*this, _socket.value(), EPOLLPRI).ok());
	}

	void answered(std::string_view answer) override
	{
		std::string text(answer);
		if (_face != Face::DAEMONS && !text.empty()) text += '\n';
		// An empty socket takes a few kilobytes at once; who has none is gone.
		if (!text.empty()) (void)send(_socket.value(), text.data(), text.size(), MSG_NOSIGNAL);
		_answered = true;
		if (!_beginning) _server._close(*this);
	}

	/* What was sent beyond a question would turn the end of the connection into an error. */
	void _drain()
	{
		char rest[4096];
		for (unsigned i = 0; i < 32; ++i)
			if (recv(_socket.value(), rest, sizeof(rest), MSG_DONTWAIT) <= 0) return;
	}

public:
	std::list<std::unique_ptr<Connection>>::iterator place{}; // in the server's list

	Connection(Server &server, Owned_fd socket, Face face)
		: _server(server), _socket(std::move(socket)), _face(face)
	{}

	~Connection()
	{
		if (linux_host::Loop *const in = loop()) in->remove(*this);
		_question.reset();
		_drain();
	}

	/* Often all is there at once, and the loop needn't know of it. True: nothing left to do. */
	bool start()
	{
		if (_receive()) return true;
		return !loop() && !_server._office.loop.add(*this, _socket.value(), EPOLLIN).ok();
	}

	bool silent() const { return !_question; }
};

class Server::Listener final : private linux_host::Loop::Source
{
private:
	Server &_server;
	Owned_fd _socket;
	Face const _face;

	void ready(uint32_t) override
	{
		for (unsigned i = 0; i < ACCEPTED_AT_ONCE; ++i) {
			Owned_fd taken(
				accept4(_socket.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
			if (taken)
				_server.adopt(std::move(taken), _face);
			else if (errno != EMFILE && errno != ENFILE)
				return;
			else
				return _turn_away();
		}
	}

	/* Without a free descriptor the connection would wake us for ever. */
	void _turn_away()
	{
		_server._spare.reset();
		Owned_fd(accept4(_socket.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)).reset();
		_server._spare.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
		_server._office.journal.log(Level::ERROR,
			"policy: out of descriptors: a question was turned away; raise LimitNOFILE");
		_server._make_room();
	}

public:
	Listener(Server &server, Owned_fd socket, Face face)
		: _server(server), _socket(std::move(socket)), _face(face)
	{}
	~Listener()
	{
		if (linux_host::Loop *const in = loop()) in->remove(*this);
	}

	Attempt<void> start() { return _server._office.loop.add(*this, _socket.value(), EPOLLIN); }
};

Server::Server(Office &office) : _office(office), _listeners(), _connections()
{
	_spare.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

Server::~Server() = default;

Attempt<void> Server::listen(Owned_fd socket, Face face)
{
	_listeners.push_back(std::make_unique<Listener>(*this, std::move(socket), face));
	return _listeners.back()->start();
}

/* Whoever has been silent for longest goes. */
bool Server::_make_room()
{
	for (auto const &connection : _connections) {
		if (!connection->silent()) continue;
		_close(*connection);
		return true;
	}
	return false;
}

void Server::_close(Connection &connection) { _connections.erase(connection.place); }

void Server::adopt(Owned_fd socket, Face face)
{
	if (_connections.size() >= CONNECTIONS_MAX && !_make_room()) {
		_office.journal.log(
			Level::ERROR, "policy: too many questions are open: another was turned away");
		return;
	}
	auto connection = std::make_unique<Connection>(*this, std::move(socket), face);
	Connection &added = *connection;
	added.place = _connections.insert(_connections.end(), std::move(connection));
	if (added.start()) _close(added);
}

} // namespace bulkhead::qrexec
