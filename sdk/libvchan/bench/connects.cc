// From the search for each other to the end of a channel: what both processes together compute.

#include "platform/linux/vchan/connection.h"
#include "sdk/libvchan/bench/measure.h"
#include "sdk/libvchan/libvchan.h"
#include "sdk/libvchan/vchan.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

using linux_host::Connection;
namespace sleep_for = vchan::sleep_for;

constexpr int SERVER = 1, CLIENT = 2; // domains
constexpr uint32_t RING = 4096;

/*
 * One kind of connection. The server of the next connection waits before the answer of this one is
 * sent, so that no client ever has to wait for its server.
 */
class Kind
{
public:
	virtual ~Kind() = default;

	/* The server waits for the connection of this number. */
	virtual void listen(uint64_t number) = 0;

	/* Meets the client, takes its byte; then sends one, and ends the connection. */
	virtual void serve(uint64_t number) = 0;
	virtual void finish(uint64_t number) = 0;

	/* The client: connects, sends a byte, takes one, ends. */
	virtual void visit(uint64_t number) = 0;
};

/* The two connections that the server has at a time, by number. */
template <typename T>
class Two
{
private:
	std::array<T, 2> _items{};

public:
	T &operator[](uint64_t number) { return _items[number % 2]; }
};

class Libvchan_kind final : public Kind
{
private:
	char const *const _transport;
	Two<libvchan_t *> _servers{};

	static int _port(uint64_t number) { return static_cast<int>(1 + number % 2); }

	void _be(int domain) const
	{
		setenv("VCHAN_DOMAIN", std::to_string(domain).c_str(), 1);
		setenv("BULKHEAD_VCHAN", _transport, 1);
	}

	static void _check(bool good)
	{
		if (!good) give_up(std::string("libvchan: ") + bulkhead_vchan_last_error());
	}

public:
	Libvchan_kind(std::string const &directory, char const *transport) : _transport(transport)
	{
		setenv("BULKHEAD_VCHAN_DIR", directory.c_str(), 1);
		setenv("VCHAN_SOCKET_DIR", (directory + "/sockets").c_str(), 1);
		mkdir((directory + "/sockets").c_str(), 0700);
	}

	void listen(uint64_t number) override
	{
		_be(SERVER);
		_servers[number] = libvchan_server_init(CLIENT, _port(number), RING, RING);
		_check(_servers[number]);
	}

	void serve(uint64_t number) override
	{
		uint8_t byte;
		_check(libvchan_recv(_servers[number], &byte, 1) == 1);
	}

	void finish(uint64_t number) override
	{
		uint8_t const byte = 1;
		_check(libvchan_send(_servers[number], &byte, 1) == 1);
		libvchan_close(_servers[number]);
	}

	void visit(uint64_t number) override
	{
		_be(CLIENT);
		libvchan_t *const channel = libvchan_client_init(SERVER, _port(number));
		_check(channel);
		uint8_t byte = 1;
		_check(libvchan_send(channel, &byte, 1) == 1 && libvchan_recv(channel, &byte, 1) == 1);
		libvchan_close(channel);
	}
};

class Connection_kind final : public Kind
{
private:
	std::string const _directory;
	Two<std::unique_ptr<Connection>> _servers{};

	static linux_host::Channel_name _name(uint64_t number)
	{
		return {SERVER, CLIENT, static_cast<int>(3 + number % 2)};
	}

	static void _read(Connection &connection)
	{
		uint8_t byte;
		while (true) {
			connection.endpoint()->arm(sleep_for::DATA);
			if (connection.endpoint()->try_read(Mutable_bytes(&byte, 1)).ok()) return;
			if (!connection.wait().ok()) give_up(connection.message());
		}
	}

	static void _write(Connection &connection)
	{
		uint8_t const byte = 1;
		if (!connection.endpoint()->try_write(Bytes(&byte, 1)).ok()) give_up("a new channel");
	}

public:
	explicit Connection_kind(std::string directory) : _directory(std::move(directory)) {}

	void listen(uint64_t number) override
	{
		_servers[number] = std::make_unique<Connection>();
		if (!_servers[number]->listen(_name(number), {RING, RING}, _directory).ok())
			give_up(_servers[number]->message());
	}

	void serve(uint64_t number) override { _read(*_servers[number]); }

	void finish(uint64_t number) override
	{
		_write(*_servers[number]);
		_servers[number].reset();
	}

	void visit(uint64_t number) override
	{
		Connection connection;
		if (!connection.connect(_name(number), _directory).ok()) give_up(connection.message());
		while (!connection.joined())
			if (!connection.wait().ok()) give_up(connection.message());
		_write(connection);
		_read(connection);
	}
};

/* Like a channel, a server may have a name for each connection; or, as servers mostly do, one. */
class Socket_kind final : public Kind
{
private:
	std::string const _directory;
	bool const _one_name;
	Two<int> _listeners{};
	Two<int> _servers{};

	sockaddr_un _address(uint64_t number) const
	{
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		std::string const path = _directory + "/plain" + std::to_string(number % 2) +
			(_one_name ? ".lasting" : ".single");
		memcpy(address.sun_path, path.c_str(), path.size());
		return address;
	}

	static void _check(bool good)
	{
		if (!good) give_up("a plain socket");
	}

public:
	Socket_kind(std::string directory, bool one_name)
		: _directory(std::move(directory)), _one_name(one_name)
	{}

	void listen(uint64_t number) override
	{
		if (_one_name && _listeners[number]) return;
		sockaddr_un const address = _address(number);
		_listeners[number] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		_check(bind(_listeners[number], reinterpret_cast<sockaddr const *>(&address),
				   sizeof address) == 0);
		_check(::listen(_listeners[number], 1) == 0);
	}

	void serve(uint64_t number) override
	{
		uint8_t byte;
		_servers[number] = accept4(_listeners[number], nullptr, nullptr, SOCK_CLOEXEC);
		_check(read(_servers[number], &byte, 1) == 1);
		if (_one_name) return;
		_check(unlink(_address(number).sun_path) == 0);
		close(_listeners[number]);
	}

	void finish(uint64_t number) override
	{
		uint8_t const byte = 1;
		_check(write(_servers[number], &byte, 1) == 1);
		close(_servers[number]);
	}

	void visit(uint64_t number) override
	{
		sockaddr_un const address = _address(number);
		uint8_t byte = 1;
		int const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		_check(connect(fd, reinterpret_cast<sockaddr const *>(&address), sizeof address) == 0);
		_check(write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1);
		close(fd);
	}
};

/* Both processes with one kind. */
class Visits
{
private:
	std::shared_ptr<Kind> _kind;
	Peer _server;

	static double _serve(Kind &kind, uint64_t count)
	{
		double const begin = process_time_s();
		for (uint64_t i = 0; i < count; ++i) {
			kind.serve(i);
			kind.listen(i + 1);
			kind.finish(i);
		}
		return process_time_s() - begin;
	}

public:
	explicit Visits(std::shared_ptr<Kind> kind)
		: _kind(kind), _server([kind] {
			  kind->listen(0);
			  return [kind](Order const &order) { return _serve(*kind, order.count); };
		  })
	{}

	/* Process time of both for one connection, in seconds. An even count. */
	double measure(Placement placement, uint64_t count)
	{
		_server.begin({placement, 0, count, 0});
		double const begin = process_time_s();
		for (uint64_t i = 0; i < count; ++i) _kind->visit(i);
		double const own = process_time_s() - begin;
		return (own + _server.end()) / static_cast<double>(count);
	}
};

} // namespace

void connects(Options const &options, std::string const &directory)
{
	struct Row
	{
		std::string name;
		Visits visits;
		bool ours;
		std::vector<double> times{};
	};
	Row rows[] = {
		{"unix socket that lasts", Visits(std::make_shared<Socket_kind>(directory, true)), false},
		{"unix socket, a new name each time",
			Visits(std::make_shared<Socket_kind>(directory, false)), false},
		{"Connection", Visits(std::make_shared<Connection_kind>(directory)), true},
		{"libvchan", Visits(std::make_shared<Libvchan_kind>(directory, "shm")), true},
		{"libvchan with the transport socket",
			Visits(std::make_shared<Libvchan_kind>(directory, "socket")), false},
	};
	uint64_t const count = 400 / options.less();
	for (Placement const placement : placements()) {
		title(std::string("connect, one round trip, close: process time of both, ") +
			name_of(placement) + "; ratio to the new name");
		for (Row &row : rows) row.times.clear();
		for (unsigned round = 0; round < options.rounds(); ++round)
			for (Row &row : rows) row.times.push_back(row.visits.measure(placement, count));
		for (Row const &row : rows) {
			double const time = median(row.times);
			figure(row.name, in_us(time), median_ratio(row.times, rows[1].times),
				row.ours ? at_most(time * 1e6, 100, " us") : Aim{});
		}
	}
}

} // namespace bulkhead::bench
