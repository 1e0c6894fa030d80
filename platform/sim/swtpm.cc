#include "platform/sim/swtpm.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace bulkhead::sim {

// Commands of the control channel, from swtpm's tpm_ioctl.h as swtpm_ioctls(3) describes it.
static constexpr uint32_t CMD_INIT = 2;
static constexpr uint32_t CMD_SHUTDOWN = 3;
static constexpr uint32_t CMD_SET_LOCALITY = 5;
static constexpr uint32_t CMD_CANCEL_TPM_CMD = 9;
static constexpr uint32_t CMD_STOP = 14;

using Result = Attempt<void, Swtpm_error>;

static uint64_t now_us()
{
	timespec now{};
	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1'000'000 +
		static_cast<uint64_t>(now.tv_nsec) / 1000;
}

static int milliseconds_until(uint64_t until_us)
{
	if (until_us == NEVER_US) return -1;
	uint64_t const now = now_us();
	if (now >= until_us) return 0;
	return static_cast<int>(std::min<uint64_t>((until_us - now + 999) / 1000, INT32_MAX));
}

Swtpm_error Swtpm::_error_of(int number)
{
	switch (number) {
	case ENOENT: return Swtpm_error::NO_SOCKET;
	case ECONNREFUSED:
	case EACCES:
	case EPERM: return Swtpm_error::REFUSED;
	case ETIMEDOUT:
	case EAGAIN: return Swtpm_error::TIMEOUT;
	case EPIPE:
	case ECONNRESET: return Swtpm_error::CLOSED;
	default: return Swtpm_error::SYSTEM;
	}
}

void Swtpm::_set_timeout(int fd, int option, unsigned ms)
{
	timeval const limit{static_cast<time_t>(ms / 1000), static_cast<suseconds_t>(ms % 1000 * 1000)};
	setsockopt(fd, SOL_SOCKET, option, &limit, sizeof(limit));
}

Swtpm_error Swtpm::_fail(Swtpm_error error, std::string_view what, int number)
{
	_message = std::string("swtpm: ").append(what).append(": ");
	_message += number ? std::string(strerror(number)) : std::string(name_of(error));
	return error;
}

void Swtpm::adopt(int data, int control)
{
	_begin_anew();
	_control_address.clear();
	_data = data;
	_control = control;
	_set_timeout(_data, SO_RCVTIMEO, _patience.command_ms);
	if (_control >= 0) _set_timeout(_control, SO_RCVTIMEO, _patience.control_ms);
}

void Swtpm::_begin_anew()
{
	_close();
	// What the old connection owes never comes.
	if (Tpm_client *const client = std::exchange(_client, nullptr)) client->failed();
	_locality = 0;
}

void Swtpm::_close()
{
	if (_data >= 0) close(_data);
	if (_control >= 0) close(_control);
	_data = _control = -1;
	_broken = false;
	_received = 0;
}

Result Swtpm::_open_control()
{
	if (_control >= 0) return Ok{};
	if (_control_address.empty() || !_dial)
		return _fail(Swtpm_error::NO_SOCKET, "no address of a control socket was given");
	_control = TRY((this->*_dial)(_control_address));
	_set_timeout(_control, SO_RCVTIMEO, _patience.control_ms);
	return Ok{};
}

/* All control commands used here are answered by a result code alone, 0 for success. */
Result Swtpm::_command(Bytes request)
{
	TRY(_open_control());
	uint8_t answer[4];
	size_t have = 0;
	ssize_t n = send(_control, request.data(), request.size(), MSG_NOSIGNAL);
	while (n > 0 && have < sizeof(answer)) {
		n = recv(_control, answer + have, sizeof(answer) - have, 0);
		if (n > 0) have += static_cast<size_t>(n);
	}
	if (have == sizeof(answer)) {
		uint32_t const code = load_be<uint32_t>(answer);
		if (code == 0) return Ok{};
		return _fail(Swtpm_error::REJECTED, "control command " + std::to_string(request[3]));
	}
	int const number = n < 0 ? errno : 0;
	close(_control);
	_control = -1;
	return _fail(number ? _error_of(number) : Swtpm_error::CLOSED, "control socket", number);
}

static Bytes encode(std::span<uint8_t, 8> to, uint32_t command)
{
	store_be<uint32_t>(to.first<4>(), command);
	return to.first<4>();
}

Result Swtpm::init(uint32_t flags)
{
	std::array<uint8_t, 8> request{};
	TRY(_command(encode(request, CMD_STOP)));
	encode(request, CMD_INIT);
	store_be<uint32_t>(std::span(request).last<4>(), flags);
	_locality = 0;
	return _command(request);
}

Result Swtpm::shutdown()
{
	std::array<uint8_t, 8> request{};
	return _command(encode(request, CMD_SHUTDOWN));
}

Result Swtpm::cancel_command()
{
	std::array<uint8_t, 8> request{};
	return _command(encode(request, CMD_CANCEL_TPM_CMD));
}

/* The connection is of no use any more. */
Result Swtpm::_end(Swtpm_error error, std::string_view what, int number)
{
	error = _fail(error, what, number);
	_broken = true;
	::shutdown(_data, SHUT_RDWR);
	if (Tpm_client *const client = std::exchange(_client, nullptr)) client->failed();
	return error;
}

/* There is one command at a time, so that the socket has room for it unless swtpm hangs. */
Result Swtpm::_send(Bytes command)
{
	while (!command.empty()) {
		ssize_t const n = send(_data, command.data(), command.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			command = command.subspan(static_cast<size_t>(n));
			continue;
		}
		if (errno == EINTR) continue;
		if (errno != EAGAIN) return _end(_error_of(errno), "the command was not sent", errno);
		pollfd waiting{_data, POLLOUT, 0};
		if (::poll(&waiting, 1, static_cast<int>(_patience.control_ms)) == 0)
			return _end(Swtpm_error::TIMEOUT, "the command was not sent");
	}
	return Ok{};
}

/* Whether the response is complete; it has been handed over then. */
Attempt<bool, Swtpm_error> Swtpm::_receive(int flags)
{
	for (;;) {
		size_t size = MESSAGE_MAX;
		if (_received >= HEADER_SIZE) {
			size = load_be<uint32_t>(Bytes{_response}.subspan<2, 4>());
			if (size < HEADER_SIZE || size > MESSAGE_MAX || _received > size)
				return _end(Swtpm_error::PROTOCOL, "size of the response").error();
		}
		if (_received == size) break;
		ssize_t const n = recv(_data, _response.data() + _received, MESSAGE_MAX - _received, flags);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) return false;
		if (n < 0) return _end(_error_of(errno), "no response", errno).error();
		if (n == 0) return _end(Swtpm_error::CLOSED, "no response").error();
		_received += static_cast<size_t>(n);
	}
	if (!_client) return _end(Swtpm_error::PROTOCOL, "an answer to no command").error();
	Bytes const response = Bytes{_response}.first(std::exchange(_received, 0));
	// From within this call the client may submit its next command.
	std::exchange(_client, nullptr)->response(response);
	return true;
}

void Swtpm::submit(Tpm_client &client, uint8_t locality, Bytes command)
{
	BULKHEAD_ASSERT(!_client);
	if (!connected()) return client.failed();
	if (locality != _locality) {
		std::array<uint8_t, 8> request{};
		encode(request, CMD_SET_LOCALITY);
		request[4] = locality;
		if (!_command(Bytes{request}.first<5>()).ok()) return client.failed();
		_locality = locality;
	}
	_client = &client;
	(void)_send(command);
}

Result Swtpm::process()
{
	if (!connected()) return _fail(Swtpm_error::CLOSED, "not connected");
	TRY(_receive(MSG_DONTWAIT));
	return Ok{};
}

Result Swtpm::wait(uint64_t duration_us)
{
	if (!busy()) return Ok{};
	uint64_t const until_us = deadline_after_us(now_us(), duration_us);
	for (;;) {
		pollfd waiting{_data, POLLIN, 0};
		int const n = ::poll(&waiting, 1, milliseconds_until(until_us));
		if (n < 0 && errno != EINTR) return _end(Swtpm_error::SYSTEM, "poll", errno);
		if (n > 0) TRY(process());
		if (!busy() || milliseconds_until(until_us) == 0) return Ok{};
	}
}

void Swtpm::poll()
{
	if (!_client) return;
	if (!blocking) return (void)process();
	// The socket itself blocks, with a time-out: one system call where poll would make it two.
	auto const done = _receive(0);
	if (done.ok() && !done.value()) (void)_end(Swtpm_error::TIMEOUT, "no response");
}

} // namespace bulkhead::sim
