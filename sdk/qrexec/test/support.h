#pragma once

// What the tests of calls share: a place to meet that goes away, the other sides (a daemon, an
// agent, a service) made of bare sockets and transports, and waiting without a clock.

#include "sdk/libvchan/rendezvous.h"
#include "sdk/qrexec/data_channel.h"
#include "sdk/qrexec/local_socket.h"

#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace bulkhead::qrexec::test {

using linux_host::Owned_fd;

inline constexpr int CALLER_DOMAIN = 5;
inline constexpr int SERVICE_DOMAIN = 7;
inline constexpr int PORT = 513;
inline constexpr int HANG_MS = 60'000;

/* A directory for both transports, and one for local sockets. */
class Place
{
private:
	std::string _path = std::filesystem::temp_directory_path() / "bulkhead-qrexec-XXXXXX";

public:
	Place()
	{
		if (!mkdtemp(_path.data())) abort();
		std::filesystem::create_directory(_path + "/v");
	}
	Place(Place const &) = delete;
	Place &operator=(Place const &) = delete;
	~Place()
	{
		EXPECT_TRUE(std::filesystem::is_empty(_path + "/v")) << "something was left behind";
		std::filesystem::remove_all(_path);
	}

	std::string const &path() const { return _path; }
	std::string vchans() const { return _path + "/v"; }
};

inline bool readable(int fd, int patience_ms = 0)
{
	pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
	return poll(&entry, 1, patience_ms) == 1;
}

/* Calls `step` whenever one of the descriptors is readable, until it says so. */
inline void until(std::vector<int> const &fds, std::function<bool()> const &step)
{
	while (!step()) {
		std::vector<pollfd> entries;
		for (int const fd : fds) entries.push_back({.fd = fd, .events = POLLIN, .revents = 0});
		if (poll(entries.data(), entries.size(), HANG_MS) == 0) {
			ADD_FAILURE() << "nothing happens";
			return;
		}
	}
}

/* Bytes that tell their positions. */
inline std::string numbered(size_t size)
{
	std::string bytes(size, '\0');
	for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
	return bytes;
}

inline std::string number(uint32_t value)
{
	uint8_t bytes[4];
	encode_number(value, bytes);
	return std::string(bulkhead::text_of(bytes));
}

/* A message as it is on the wire. */
inline std::string message(Type type, std::string_view body = {})
{
	return number(static_cast<uint32_t>(type)) + number(static_cast<uint32_t>(body.size())) +
		std::string(body);
}

inline std::string hello(uint32_t version) { return message(Type::HELLO, number(version)); }

inline std::string params(uint32_t domain, uint32_t port) { return number(domain) + number(port); }

/* The end of a vchan that says what the test says. */
class Raw_end
{
private:
	std::unique_ptr<sdk::Transport> _transport{};

public:
	Raw_end(char const *transport, sdk::Wanted const &wanted)
	{
		int error = 0;
		std::string why;
		_transport = sdk::open_transport(transport, wanted, error, why);
		EXPECT_TRUE(_transport) << why;
	}

	sdk::Transport &transport() { return *_transport; }
	int fd() const { return _transport->fd(); }

	/* Both wait, and do what else there is to do meanwhile. */
	void send(std::string_view bytes, std::vector<int> fds, std::function<void()> const &other)
	{
		fds.push_back(fd());
		until(fds, [&] {
			EXPECT_EQ(_transport->look(), 0);
			other();
			for (int i = 0; i < 2 && !bytes.empty(); ++i) {
				Bytes const view = bytes_of(bytes);
				auto const sent = _transport->try_write({&view, 1});
				if (sent.ok()) bytes.remove_prefix(sent.value());
				_transport->arm(vchan::sleep_for::ROOM | vchan::sleep_for::PEER);
			}
			return bytes.empty();
		});
	}
	std::string receive(size_t size, std::vector<int> fds, std::function<void()> const &other)
	{
		std::string bytes(size, '\0');
		size_t got = 0;
		fds.push_back(fd());
		until(fds, [&] {
			EXPECT_EQ(_transport->look(), 0);
			other();
			for (int i = 0; i < 2 && got < size; ++i) {
				Mutable_bytes const view{
					reinterpret_cast<uint8_t *>(bytes.data()) + got, size - got};
				auto const read = _transport->try_read({&view, 1});
				if (read.ok()) got += read.value();
				_transport->arm(vchan::sleep_for::DATA | vchan::sleep_for::PEER);
			}
			return got == size;
		});
		return bytes;
	}
};

/* A server on a unix socket, and its connections, which block. */
class Fake_server
{
private:
	std::string _path;
	Owned_fd _listener{};

public:
	explicit Fake_server(std::string path) : _path(std::move(path))
	{
		EXPECT_EQ(listen_locally(_path, 0600, _listener), 0);
	}
	Fake_server(Fake_server const &) = delete;
	Fake_server &operator=(Fake_server const &) = delete;
	~Fake_server() { std::filesystem::remove(_path); }

	std::string const &path() const { return _path; }
	int fd() const { return _listener.value(); }

	Owned_fd accept()
	{
		EXPECT_TRUE(readable(_listener.value(), HANG_MS));
		return Owned_fd(::accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
	}
};

inline void say(Owned_fd const &to, std::string_view bytes)
{
	ASSERT_EQ(send(to.value(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
		static_cast<ssize_t>(bytes.size()));
}

/* So many bytes, or up to the end. */
inline std::string hear(Owned_fd const &from, size_t size)
{
	std::string bytes(size, '\0');
	size_t got = 0;
	while (got < size) {
		EXPECT_TRUE(readable(from.value(), HANG_MS));
		ssize_t const n = recv(from.value(), bytes.data() + got, size - got, 0);
		if (n <= 0) break;
		got += static_cast<size_t>(n);
	}
	bytes.resize(got);
	return bytes;
}

inline std::string transport_of(testing::TestParamInfo<char const *> const &info)
{
	return info.param;
}

} // namespace bulkhead::qrexec::test
