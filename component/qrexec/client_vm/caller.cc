#include "component/qrexec/client_vm/caller.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/service.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace bulkhead::qrexec {

Attempt<void> Caller::Use_stdin::start() { return Signals::start(_caller._loop, {SIGUSR1}); }

int Caller::run()
{
	Wanted_call wanted{};
	wanted.socket = _options.agent_socket;
	wanted.target = _options.target;
	wanted.service = _options.service;
	wanted.source = _options.source;
	wanted.connect_timeout_us = SERVICE_WITHIN_US;
	if (_options.ring_bytes) wanted.ring_bytes = _options.ring_bytes;
	_call.start(std::move(wanted));
	if (!_loop.add(*this, _call.fd(), EPOLLIN).ok()) {
		log("the call can't be watched: too many open files");
		return EXIT_TROUBLE;
	}
	ready(0);
	while (!_over) _loop.poll(NEVER_US);
	return _exit_code;
}

void Caller::_end(int exit_code, std::string_view message)
{
	if (!message.empty()) log(message);
	_exit_code = exit_code;
	_over = true;
}

void Caller::_failed()
{
	bool const by_policy = _call.state() == Call::State::REFUSED && _call.error_number() == EACCES;
	if (!by_policy) return _end(_call.exit_code(), _call.message());
	// Tools compare this line.
	constexpr std::string_view REFUSED = "Request refused\n";
	[[maybe_unused]] ssize_t const written = write(STDERR_FILENO, REFUSED.data(), REFUSED.size());
	_end(_call.exit_code());
}

void Caller::ready(uint32_t)
{
	switch (_call.look()) {
	case Call::State::IDLE:
	case Call::State::ASKING: return;
	case Call::State::CONNECTING:
		if (!_start_program()) return;
		break;
	case Call::State::OPEN:
		if (_start_program() && _send_prefix()) _relay_it();
		break;
	case Call::State::REFUSED:
	case Call::State::FAILED:
	case Call::State::ENDED: return _failed();
	}
}

// Once the call is allowed, and not before.
bool Caller::_start_program()
{
	if (_local || _options.program.empty()) return true;
	if (!_signals.start().ok()) {
		_end(EXIT_TROUBLE, "signals can't be taken: too many open files");
		return false;
	}
	// It may speak to our own standard input and output as well.
	std::vector<std::string> saved;
	std::vector<linux_host::Owned_fd> copies;
	int const last = getenv("PASS_LOCAL_STDERR") ? STDERR_FILENO : STDOUT_FILENO;
	for (int fd = STDIN_FILENO; fd <= last; ++fd) {
		copies.emplace_back(dup(fd));
		saved.push_back(
			"SAVED_FD_" + std::to_string(fd) + "=" + std::to_string(copies.back().value()));
	}
	auto started = start_local_program(_options.program, saved);
	if (Service_failure const *const failure = std::get_if<Service_failure>(&started)) {
		bool const path = _options.program[0].contains('/');
		_end(EXIT_TROUBLE, failure->message + (path ? "" : "; it needs its whole path"));
		return false;
	}
	_local.emplace(std::move(std::get<Local_end>(started)));
	return true;
}

// Goes in front of standard input, which nobody reads before. False: there is no room for all yet.
bool Caller::_send_prefix()
{
	Bytes const prefix{
		reinterpret_cast<uint8_t const *>(_options.prefix.data()), _options.prefix.size()};
	for (bool armed = false; _prefix_sent < prefix.size();) {
		size_t const sent = _call.channel().send(Stream::IN, prefix.subspan(_prefix_sent));
		_prefix_sent += sent;
		if (sent > 0) continue;
		if (armed) return false;
		_call.arm(false, true);
		armed = true;
	}
	return true;
}

void Caller::_relay_it()
{
	_loop.remove(*this);
	Local_end local{};
	Relay_options options{};
	if (_local) {
		local = std::move(*_local);
	} else if (_options.stdin_is_socket) {
		local.to.reset(STDIN_FILENO);
		local.socket = true;
	} else {
		local.to.reset(STDOUT_FILENO);
		local.from.reset(STDIN_FILENO);
	}
	options.replace_characters = _options.replace_characters.value_or(!_local && isatty(1));
	options.replace_error_characters = _options.replace_error_characters.value_or(isatty(2));
	options.errors_to = STDERR_FILENO;
	Finished &finished = *this;
	_relay.emplace(
		_loop, _call.release_channel(), Side::CALLER, std::move(local), options, finished);
	Attempt<void> const started = _relay->start();
	if (!started.ok()) return _end(EXIT_TROUBLE, name_of(started.error()));
	if (_use_stdin) _relay->use_stdin_for_output();
}

void Caller::_signalled()
{
	_use_stdin = true;
	if (_relay) _relay->use_stdin_for_output();
}

void Caller::finished(Relay &, Ending const &ending) { _end(ending.exit_code, ending.message); }

} // namespace bulkhead::qrexec
