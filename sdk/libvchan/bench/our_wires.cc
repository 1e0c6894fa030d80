#include "base/sync_wait.h"
#include "platform/linux/vchan/loop_connection.h"
#include "sdk/libvchan/bench/side_of.h"
#include "sdk/libvchan/libvchan.h"
#include "sdk/libvchan/vchan.h"

#include <array>
#include <cerrno>
#include <cstdlib>

namespace bulkhead::bench {
namespace {

using linux_host::Channel_name;
using linux_host::Connection;
using vchan::Endpoint;
using vchan::Error;
namespace sleep_for = vchan::sleep_for;

constexpr int SERVER = 1, CLIENT = 2; // domains

int new_port()
{
	static int last = 0;
	return ++last;
}

/* Waits until both sides have the channel. */
void meet(Connection &connection, Channel_wish const &wish, int port, bool answers)
{
	Channel_name const name{SERVER, CLIENT, port};
	auto const begun = answers
		? connection.listen(name, {wish.ring_bytes, wish.ring_bytes}, wish.directory)
		: connection.connect(name, wish.directory);
	if (!begun.ok()) give_up(connection.message());
	while (!connection.joined())
		if (!connection.wait().ok()) give_up(connection.message());
}

bool blocked(Attempt<size_t, Error> const &result)
{
	return !result.ok() && result.error() == Error::WOULD_BLOCK;
}

size_t checked(Attempt<size_t, Error> const &result)
{
	if (!result.ok() || result.value() == 0) give_up("the channel has ended");
	return result.value();
}

class Connection_wire
{
private:
	Connection _connection{};

	template <typename TRY>
	size_t _until(uint32_t reasons, TRY const &attempt)
	{
		Endpoint &end = *_connection.endpoint();
		while (true) {
			auto result = attempt(end);
			if (!blocked(result)) return checked(result);
			end.arm(reasons);
			result = attempt(end);
			if (!blocked(result)) return checked(result);
			if (!_connection.wait().ok()) give_up(_connection.message());
		}
	}

public:
	Connection_wire(Channel_wish const &wish, int port, bool answers)
	{
		meet(_connection, wish, port, answers);
	}

	void send(Bytes from)
	{
		while (!from.empty())
			from = from.subspan(
				_until(sleep_for::ROOM, [&](Endpoint &end) { return end.try_write(from); }));
	}

	size_t receive(Mutable_bytes to)
	{
		return _until(sleep_for::DATA, [&](Endpoint &end) { return end.try_read(to); });
	}
};

class Spinning_connection_wire
{
private:
	Connection _connection{};

public:
	Spinning_connection_wire(Channel_wish const &wish, int port, bool answers)
	{
		meet(_connection, wish, port, answers);
	}

	void send(Bytes from)
	{
		while (!from.empty()) {
			auto const written = _connection.endpoint()->try_write(from);
			if (!blocked(written)) from = from.subspan(checked(written));
		}
	}

	size_t receive(Mutable_bytes to)
	{
		while (true) {
			auto const taken = _connection.endpoint()->try_read(to);
			if (!blocked(taken)) return checked(taken);
		}
	}
};

class Loop_side final : public Side
{
private:
	linux_host::Loop _loop{};
	Connection _connection{};
	linux_host::Loop_connection _watched{_loop, _connection};
	Job_with_arena<4096> _job{_loop.executor()};

	static Task<void, Error> _ask(Job &job, Endpoint &end, uint64_t count, size_t size)
	{
		std::vector<uint8_t> message(size, 1);
		for (uint64_t i = 0; i < count; ++i) {
			CO_TRY(co_await end.write_all(job, message));
			CO_TRY(co_await end.receive(job, message));
		}
		co_return Ok{};
	}

	static Task<void, Error> _answer(Job &job, Endpoint &end, uint64_t count, size_t size)
	{
		std::vector<uint8_t> message(size);
		for (uint64_t i = 0; i < count; ++i) {
			CO_TRY(co_await end.receive(job, message));
			CO_TRY(co_await end.write_all(job, message));
		}
		co_return Ok{};
	}

	static Task<void, Error> _pour(Job &job, Endpoint &end, uint64_t bytes, size_t chunk)
	{
		std::vector<uint8_t> from(chunk, 1);
		for (uint64_t sent = 0; sent < bytes; sent += chunk)
			CO_TRY(co_await end.write_all(job, from));
		co_return Ok{};
	}

	static Task<void, Error> _drain(Job &job, Endpoint &end, uint64_t bytes, size_t chunk)
	{
		std::vector<uint8_t> to(chunk);
		for (uint64_t left = bytes; left;) {
			auto const part = Mutable_bytes(to).first(std::min<uint64_t>(left, chunk));
			auto const got = co_await end.read(job, part);
			if (!got.ok()) co_return Failure{got.error()};
			left -= got.value();
		}
		co_return Ok{};
	}

	void _run(Task<void, Error> task)
	{
		if (!sync_wait(_job, std::move(task), _loop).ok()) give_up("a coroutine");
	}

public:
	Loop_side(Channel_wish const &wish, int port, bool answers, unsigned spin)
	{
		_job.spin = spin;
		meet(_connection, wish, port, answers);
		if (!_watched.start().ok()) give_up("the loop");
	}

	void ask(uint64_t count, size_t size) override
	{
		_run(_ask(_job, *_connection.endpoint(), count, size));
	}
	void answer(uint64_t count, size_t size) override
	{
		_run(_answer(_job, *_connection.endpoint(), count, size));
	}
	void pour(uint64_t bytes, size_t chunk) override
	{
		_run(_pour(_job, *_connection.endpoint(), bytes, chunk));
	}
	void drain(uint64_t bytes, size_t chunk) override
	{
		_run(_drain(_job, *_connection.endpoint(), bytes, chunk));
	}
};

void set_environment(Channel_wish const &wish, bool answers)
{
	setenv("VCHAN_DOMAIN", std::to_string(answers ? SERVER : CLIENT).c_str(), 1);
	setenv("BULKHEAD_VCHAN_DIR", wish.directory.c_str(), 1);
	unsetenv("BULKHEAD_VCHAN");
}

class Libvchan_wire
{
protected:
	libvchan_t *_channel;

	static size_t _checked(ssize_t result)
	{
		if (result <= 0) give_up("libvchan");
		return static_cast<size_t>(result);
	}

public:
	Libvchan_wire(Channel_wish const &wish, int port, bool answers)
	{
		set_environment(wish, answers);
		_channel = answers ? libvchan_server_init(CLIENT, port, wish.ring_bytes, wish.ring_bytes)
						   : libvchan_client_init(SERVER, port);
		if (!_channel) give_up(bulkhead_vchan_last_error());
		while (libvchan_is_open(_channel) == VCHAN_WAITING)
			if (libvchan_wait(_channel) != 0) give_up("libvchan_wait");
	}
	Libvchan_wire(Libvchan_wire const &) = delete;
	Libvchan_wire &operator=(Libvchan_wire const &) = delete;
	~Libvchan_wire() { libvchan_close(_channel); }
};

class Libvchan_messages_wire : private Libvchan_wire
{
public:
	using Libvchan_wire::Libvchan_wire;

	void send(Bytes from) { _checked(libvchan_send(_channel, from.data(), from.size())); }

	size_t receive(Mutable_bytes to)
	{
		return _checked(libvchan_recv(_channel, to.data(), to.size()));
	}
};

class Libvchan_stream_wire : private Libvchan_wire
{
public:
	using Libvchan_wire::Libvchan_wire;

	void send(Bytes from) { _checked(libvchan_write(_channel, from.data(), from.size())); }

	size_t receive(Mutable_bytes to)
	{
		return _checked(libvchan_read(_channel, to.data(), to.size()));
	}
};

class Vchan_wire
{
protected:
	Bulkhead_vchan *_channel = nullptr;

	size_t _checked(ssize_t result) const
	{
		if (result <= 0) give_up(std::string("vchan: ") + bulkhead_vchan_error(_channel));
		return static_cast<size_t>(result);
	}

public:
	Vchan_wire(Channel_wish const &wish, int port, bool answers, int spin)
	{
		Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
		options.directory = wish.directory.c_str();
		options.own_domain = answers ? SERVER : CLIENT;
		options.read_bytes = options.write_bytes = wish.ring_bytes;
		options.spin = spin;
		int const begun = answers ? bulkhead_vchan_listen(&_channel, CLIENT, port, &options)
								  : bulkhead_vchan_connect(&_channel, SERVER, port, &options);
		if (begun != 0 || bulkhead_vchan_connect_wait(_channel, -1) != 0)
			give_up(bulkhead_vchan_last_error());
	}
	Vchan_wire(Vchan_wire const &) = delete;
	Vchan_wire &operator=(Vchan_wire const &) = delete;
	~Vchan_wire() { bulkhead_vchan_close(_channel); }

	void send(Bytes from)
	{
		_checked(bulkhead_vchan_write(_channel, from.data(), from.size(), -1));
	}

	size_t receive(Mutable_bytes to)
	{
		return _checked(bulkhead_vchan_read(_channel, to.data(), to.size(), -1));
	}
};

class Zero_copy_wire : private Vchan_wire
{
private:
	uint64_t _sum = 0;

	void _wait_for(unsigned reason)
	{
		if (bulkhead_vchan_wait(_channel, reason, -1) < 0) give_up(bulkhead_vchan_last_error());
	}

public:
	Zero_copy_wire(Channel_wish const &wish, int port, bool answers)
		: Vchan_wire(wish, port, answers, -1)
	{}

	void send(Bytes like)
	{
		for (size_t left = like.size(); left;) {
			iovec pieces[2];
			ssize_t const n = bulkhead_vchan_reserve(_channel, pieces, left);
			if (n == -EAGAIN) {
				_wait_for(BULKHEAD_VCHAN_ROOM);
				continue;
			}
			size_t const size = _checked(n);
			for (iovec const &piece : pieces)
				if (piece.iov_len) __builtin_memset(piece.iov_base, like[0], piece.iov_len);
			bulkhead_vchan_commit(_channel, size);
			left -= size;
		}
	}

	size_t receive(Mutable_bytes to)
	{
		iovec pieces[2];
		ssize_t n;
		while ((n = bulkhead_vchan_peek(_channel, pieces, to.size())) == -EAGAIN)
			_wait_for(BULKHEAD_VCHAN_DATA);
		size_t const size = _checked(n);
		for (iovec const &piece : pieces)
			for (size_t i = 0; i < piece.iov_len; i += 64)
				_sum += static_cast<uint8_t const volatile *>(piece.iov_base)[i];
		bulkhead_vchan_consume(_channel, size);
		return size;
	}
};

template <typename WIRE, typename... ARGS>
Way channel_way(char const *name, Channel_wish const &wish, ARGS... arguments)
{
	return {name, [=, port = new_port()](bool answers) {
				return side_of<WIRE>(wish, port, answers, arguments...);
			}};
}

} // namespace

Way connection_way(Channel_wish const &wish)
{
	return channel_way<Connection_wire>("Connection, no spinning", wish);
}

Way spinning_connection_way(Channel_wish const &wish)
{
	return channel_way<Spinning_connection_wire>("Endpoint, tried until it works", wish);
}

Way loop_way(Channel_wish const &wish, unsigned spin)
{
	return {"coroutines in loops", [=, port = new_port()](bool answers) -> std::unique_ptr<Side> {
				return std::make_unique<Loop_side>(wish, port, answers, spin);
			}};
}

Way libvchan_messages_way(Channel_wish const &wish)
{
	return channel_way<Libvchan_messages_wire>("libvchan send and recv", wish);
}

Way libvchan_stream_way(Channel_wish const &wish)
{
	return channel_way<Libvchan_stream_wire>("libvchan write and read", wish);
}

Way vchan_way(Channel_wish const &wish, int spin)
{
	return channel_way<Vchan_wire>(
		spin ? "bulkhead_vchan" : "bulkhead_vchan, spin of 0", wish, spin);
}

Way zero_copy_way(Channel_wish const &wish)
{
	return channel_way<Zero_copy_wire>("bulkhead_vchan without copies", wish);
}

} // namespace bulkhead::bench
