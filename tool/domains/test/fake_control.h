#pragma once

// For tests: the socket of a broker that answers as it is told, in a thread of its own.

#include "domain/gate/message.h"
#include "platform/linux/gate.h"
#include "platform/linux/vchan/channel.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace bulkhead::tool {

class Fake_control
{
public:
	/* What is said to one message: false ends the connection. */
	using Answer =
		std::function<bool(linux_host::Gate &gate, uint32_t type, std::string_view body)>;

private:
	Answer _answer;
	linux_host::Owned_fd _listener{};
	linux_host::Owned_fd _stop{};
	linux_host::Owned_fd _stops{};
	std::thread _thread{};

	/* False: it is time to stop. */
	bool _wait(int fd) const
	{
		pollfd waiting[] = {{fd, POLLIN, 0}, {_stop.value(), POLLIN, 0}};
		poll(waiting, 2, -1);
		return waiting[1].revents == 0;
	}

	void _serve(linux_host::Gate gate)
	{
		std::array<uint8_t, domain::PACKET_MAX> packet;
		while (_wait(gate.fd())) {
			auto const received = gate.receive(packet);
			if (!received.ok() || received.value().bytes < qrexec::Header::BYTES) return;
			Bytes const bytes = Bytes(packet).first(received.value().bytes);
			if (!_answer(gate, qrexec::decode_header(bytes).type,
					text_of(bytes.subspan(qrexec::Header::BYTES))))
				return;
		}
	}

	void _run()
	{
		while (_wait(_listener.value())) {
			linux_host::Owned_fd socket{
				accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
			if (socket)
				_serve(linux_host::Gate(std::move(socket), linux_host::Gate_takes::NOTHING));
		}
	}

public:
	/* Of a system in a run directory that exists. */
	Fake_control(std::string const &run_directory, std::string const &system, Answer answer)
		: _answer(std::move(answer))
	{
		std::string const path = run_directory + "/" + system + "/control";
		std::filesystem::create_directories(run_directory + "/" + system);
		sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
		memcpy(to.sun_path, path.data(), path.size());
		_listener.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
		if (bind(_listener.value(), reinterpret_cast<sockaddr *>(&to), sizeof(to)) != 0 ||
			listen(_listener.value(), 8) != 0)
			abort();
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) != 0) abort();
		_stop.reset(ends[0]);
		_stops.reset(ends[1]);
		_thread = std::thread([this] { _run(); });
	}

	~Fake_control()
	{
		_stops.reset();
		_thread.join();
	}

	static void send(linux_host::Gate &gate, uint32_t type, std::string_view body,
		std::span<int const> descriptors = {})
	{
		std::array<uint8_t, qrexec::Header::BYTES> header;
		qrexec::encode(qrexec::Header{type, static_cast<uint32_t>(body.size())}, header);
		Bytes const parts[] = {header, bytes_of(body)};
		if (!gate.send(parts, descriptors).ok()) abort();
	}

	static void hello(linux_host::Gate &gate)
	{
		send(gate, static_cast<uint32_t>(qrexec::Type::HELLO), std::string_view("\4\0\0\0", 4));
	}

	static void done(linux_host::Gate &gate, int error, std::string_view text)
	{
		std::string body(4, '\0');
		body[0] = static_cast<char>(error);
		send(gate, static_cast<uint32_t>(domain::Admin::DONE), body.append(text));
	}

	static void status(linux_host::Gate &gate, std::string_view json)
	{
		linux_host::Owned_fd const memory{memfd_create("status", MFD_CLOEXEC)};
		if (write(memory.value(), json.data(), json.size()) != static_cast<ssize_t>(json.size()))
			abort();
		int const descriptor = memory.value();
		send(gate, static_cast<uint32_t>(domain::Admin::DONE), std::string_view("\0\0\0\0", 4),
			std::span(&descriptor, 1));
	}

	/* Answers HELLO, and anything else by this. */
	static Answer after_hello(Answer answer)
	{
		return [answer = std::move(answer)](
				   linux_host::Gate &gate, uint32_t type, std::string_view body) {
			if (type != static_cast<uint32_t>(qrexec::Type::HELLO)) return answer(gate, type, body);
			hello(gate);
			return true;
		};
	}
};

} // namespace bulkhead::tool
