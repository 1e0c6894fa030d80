#include "component/qrexec/bench/services.h"

#include "component/qrexec/bench/spawned.h"
#include "sdk/libvchan/bench/measure.h"
#include "sdk/qrexec/service_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

using qrexec::Service_request;
using qrexec::Service_socket;

constexpr size_t CHUNK = 65536;

/* Returns when the service can be called. */
Running serve(std::string const &socket, std::function<void(int)> const &answer)
{
	Running running = in_another_process([&] {
		Service_socket service;
		errno = service.listen(socket);
		while (errno == 0) {
			std::unique_ptr<Service_request> request;
			errno = service.accept(request);
			if (request) {
				answer(request->stream.value());
				errno = 0;
				continue;
			}
			pollfd watched{.fd = service.fd(), .events = POLLIN, .revents = 0};
			if (errno == 0) (void)::poll(&watched, 1, -1);
		}
		give_up(service.message());
	});
	await_socket(socket);
	return running;
}

} // namespace

Running in_another_process(std::function<void()> const &what)
{
	fflush(stdout);
	pid_t const process = fork();
	if (process < 0) give_up("fork");
	if (process > 0) return Running(process);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	what();
	_exit(0);
}

Running serve_questions(std::string const &socket)
{
	return serve(socket, [](int stream) {
		std::array<char, 512> bytes;
		ssize_t const n = recv(stream, bytes.data(), bytes.size(), 0);
		if (n > 0) (void)send(stream, bytes.data(), static_cast<size_t>(n), MSG_NOSIGNAL);
	});
}

Running serve_drain(std::string const &socket)
{
	return serve(socket, [](int stream) { (void)drain(stream); });
}

Running serve_source(std::string const &socket, uint64_t bytes)
{
	return serve(socket, [bytes](int stream) { pour(stream, bytes); });
}

void pour(int fd, uint64_t bytes)
{
	static std::array<char, CHUNK> const chunk{};
	while (bytes) {
		ssize_t const n = write(fd, chunk.data(), std::min<uint64_t>(bytes, chunk.size()));
		if (n < 0) give_up("write");
		bytes -= static_cast<uint64_t>(n);
	}
}

uint64_t drain(int fd)
{
	static std::array<char, CHUNK> chunk;
	uint64_t bytes = 0;
	ssize_t n;
	while ((n = read(fd, chunk.data(), chunk.size())) > 0) bytes += static_cast<uint64_t>(n);
	return bytes;
}

} // namespace bulkhead::bench
