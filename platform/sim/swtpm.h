#pragma once

// A TPM that executes commands for real: a running swtpm process, reached through its sockets. The
// data socket carries commands and responses as they are; the control socket carries the commands
// of swtpm_ioctls(3), big-endian.

#include "base/clock.h"
#include "platform/sim/tpm_backend.h"

#include <array>
#include <string>
#include <string_view>

namespace bulkhead::sim {

enum class Swtpm_error : uint8_t {
	NO_SOCKET, // there is no such socket, path or host
	REFUSED, // a socket is there and nobody listens, or permissions forbid it
	BAD_ADDRESS, // neither a path that fits a socket's address nor host:port
	TIMEOUT, // no answer in time
	CLOSED, // swtpm has ended or closed the connection
	PROTOCOL, // an answer that is none
	REJECTED, // swtpm answered a control command with an error
	NOT_INSTALLED, // there is no program swtpm
	NOT_STARTED, // it ended before it listened
	SYSTEM, // the host refused something else; see the message
};

constexpr std::string_view name_of(Swtpm_error error)
{
	switch (error) {
	case Swtpm_error::NO_SOCKET: return "there is no such socket";
	case Swtpm_error::REFUSED: return "the connection was refused";
	case Swtpm_error::BAD_ADDRESS: return "not an address of a socket";
	case Swtpm_error::TIMEOUT: return "no answer in time";
	case Swtpm_error::CLOSED: return "swtpm has closed the connection";
	case Swtpm_error::PROTOCOL: return "the answer makes no sense";
	case Swtpm_error::REJECTED: return "swtpm rejected a control command";
	case Swtpm_error::NOT_INSTALLED: return "swtpm is not installed";
	case Swtpm_error::NOT_STARTED: return "swtpm did not start";
	case Swtpm_error::SYSTEM: return "the host refused";
	}
	return "unknown error";
}

/* How long to wait for swtpm, in milliseconds. */
struct Swtpm_patience
{
	unsigned connect_ms = 5'000;
	unsigned control_ms = 5'000;
	unsigned command_ms = 120'000; // for `blocking` and `wait`: generating a key takes long
};

/*
 * A connection to swtpm. By default nothing here waits for a command: whoever runs the loop waits
 * until `fd` is readable and calls `process`. With `blocking` the first look that software takes at
 * a chip that executes a command waits for its end, which makes a chip without a loop.
 */
class Swtpm final : public Tpm_backend
{
public:
	/* Bits of `init`: CMD_INIT. */
	static constexpr uint32_t DELETE_VOLATILE = 1;

private:
	static constexpr size_t MESSAGE_MAX = 4096;
	static constexpr size_t HEADER_SIZE = 10;

	Swtpm_patience _patience;
	std::string _control_address{};
	std::string _message{};
	int _data = -1;
	int _control = -1;
	uint8_t _locality = 0; // as swtpm knows it
	Tpm_client *_client = nullptr; // who waits for a response
	bool _broken = false; // of no use any more, but a loop may still watch the descriptor
	size_t _received = 0;
	std::array<uint8_t, MESSAGE_MAX> _response{};

	// Set by `connect`.
	Attempt<int, Swtpm_error> (Swtpm::*_dial)(std::string_view address) = nullptr;

	static Swtpm_error _error_of(int number);
	static void _set_timeout(int fd, int option, unsigned ms);
	Swtpm_error _fail(Swtpm_error error, std::string_view what, int number = 0);
	Attempt<int, Swtpm_error> _connect(std::string_view address);
	Attempt<void, Swtpm_error> _open_control();
	Attempt<void, Swtpm_error> _command(Bytes request);
	Attempt<void, Swtpm_error> _end(Swtpm_error error, std::string_view what, int number = 0);
	Attempt<void, Swtpm_error> _send(Bytes command);
	Attempt<bool, Swtpm_error> _receive(int flags);
	void _begin_anew();
	void _close();

public:
	/*
	 * Whether `poll` waits for the response. Software can't cancel a command then, as it doesn't
	 * run meanwhile.
	 */
	bool blocking = false;

	explicit Swtpm(Swtpm_patience patience = {}) : _patience(patience) {}
	Swtpm(Swtpm const &) = delete;
	Swtpm &operator=(Swtpm const &) = delete;
	~Swtpm() { _close(); }

	/*
	 * Connects to the data socket, and later, when it is first needed, to the control socket. An
	 * address is a path or `host:port`; without a control address there are no localities but 0 and
	 * no cancel. A command that is under way on a connection before has failed. Blocks as long as
	 * the patience lasts. Errors: NO_SOCKET, REFUSED, BAD_ADDRESS,
	 * TIMEOUT, SYSTEM.
	 */
	Attempt<void, Swtpm_error> connect(std::string_view data, std::string_view control = {});

	/*
	 * The same for sockets that are connected already, which this owns from now on; a control of -1
	 * is one without address.
	 */
	void adopt(int data, int control = -1);

	/* What went wrong last, in a sentence with the address and the reason. */
	std::string const &message() const { return _message; }

	bool connected() const { return _data >= 0 && !_broken; }

	/* To wait on for input; stays open until the next `connect` or the end. -1: never connected. */
	int fd() const { return _data; }

	/* Whether a command is under way. */
	bool busy() const { return _client != nullptr; }

	/*
	 * Takes what has arrived, without waiting. The response goes to whoever submitted the command.
	 * Errors: CLOSED, PROTOCOL, SYSTEM; the connection is at its end then, and the client told.
	 */
	Attempt<void, Swtpm_error> process();

	/*
	 * For `sync_wait`: waits until the response has arrived or `duration_us` have passed, and
	 * processes it. Returns at once if no command is under way.
	 */
	Attempt<void, Swtpm_error> wait(uint64_t duration_us = NEVER_US);

	/* CMD_INIT: power on, as after a reset of the chip; before it CMD_STOP if it runs. */
	Attempt<void, Swtpm_error> init(uint32_t flags = 0);

	/* CMD_SHUTDOWN: swtpm stores its state and ends. */
	Attempt<void, Swtpm_error> shutdown();

	/* CMD_CANCEL_TPM_CMD; the command is still answered. */
	Attempt<void, Swtpm_error> cancel_command();

	void submit(Tpm_client &client, uint8_t locality, Bytes command) override;
	void cancel() override { (void)cancel_command(); }
	void poll() override;
};

} // namespace bulkhead::sim
