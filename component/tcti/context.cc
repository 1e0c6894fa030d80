#include "component/tcti/context.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/timerfd.h>
#include <unistd.h>

namespace bulkhead::tcti {

/* As the TSS itself reports errors, and silent when it is told to be. */
static void complain(std::string const &what)
{
	char const *const levels = getenv("TSS2_LOG");
	std::string_view const wanted = levels ? levels : "";
	for (std::string_view const silent : {"all+NONE", "all+none", "tcti+NONE", "tcti+none"})
		if (wanted.find(silent) != wanted.npos) return;
	fprintf(stderr, "ERROR:tcti:bulkhead: %s\n", what.c_str());
}

static TSS2_RC code_of(Error error)
{
	switch (error) {
	case Error::INVALID: return TSS2_TCTI_RC_BAD_VALUE;
	case Error::NOT_FOUND:
	case Error::GONE:
	case Error::BUSY: return TSS2_TCTI_RC_NO_CONNECTION;
	case Error::DENIED: return TSS2_TCTI_RC_NOT_PERMITTED;
	case Error::NOT_SUPPORTED: return TSS2_TCTI_RC_NOT_SUPPORTED;
	case Error::OUT_OF_FRAMES:
	case Error::OUT_OF_MEMORY: return TSS2_TCTI_RC_MEMORY;
	default: return TSS2_TCTI_RC_IO_ERROR;
	}
}

Context::~Context()
{
	if (_timer >= 0) close(_timer);
}

TSS2_RC Context::open(char const *configuration)
{
	Attempt<void> const opened = _tpm.open(configuration ? configuration : "");
	if (opened.ok()) return TSS2_RC_SUCCESS;
	complain(_tpm.message());
	return code_of(opened.error());
}

TSS2_RC Context::transmit(size_t size, uint8_t const *command)
{
	if (_state != State::TRANSMIT) return TSS2_TCTI_RC_BAD_SEQUENCE;
	if (!command) return TSS2_TCTI_RC_BAD_REFERENCE;
	Bytes const bytes(command, size);
	bool const whole = size >= tpm::HEADER_BYTES && size <= tpm::MESSAGE_MAX_BYTES &&
		load_be<uint32_t>(bytes.subspan<2, 4>()) == size;
	if (!whole) return TSS2_TCTI_RC_BAD_VALUE;
	if (Attempt<void> const begun = _tpm.begin(bytes); !begun.ok()) return code_of(begun.error());
	_state = State::RECEIVE;
	// The command is on its way when this returns; what it costs is waited for in `receive`.
	(void)_tpm.wait(0);
	_arm_timer(_tpm.next_look_us());
	return TSS2_RC_SUCCESS;
}

TSS2_RC Context::receive(size_t *size, uint8_t *response, int32_t timeout_ms)
{
	if (!size) return TSS2_TCTI_RC_BAD_REFERENCE;
	if (timeout_ms < TSS2_TCTI_TIMEOUT_BLOCK) return TSS2_TCTI_RC_BAD_VALUE;
	if (_state != State::RECEIVE) return TSS2_TCTI_RC_BAD_SEQUENCE;

	uint64_t const until_us = timeout_ms == TSS2_TCTI_TIMEOUT_BLOCK ? NEVER_US
		: timeout_ms == TSS2_TCTI_TIMEOUT_NONE
		? 0
		: _tpm.bus().now_us() + static_cast<uint64_t>(timeout_ms) * 1000;
	if (!_tpm.wait(until_us)) {
		_arm_timer(_tpm.next_look_us());
		return TSS2_TCTI_RC_TRY_AGAIN;
	}

	Attempt<Bytes, tpm::Error> const received = _tpm.response();
	if (!received.ok()) {
		_state = State::TRANSMIT;
		complain(std::string(name_of(received.error())));
		return TSS2_TCTI_RC_IO_ERROR;
	}
	Bytes const bytes = received.value();
	size_t const room = std::exchange(*size, bytes.size());
	if (!response) return TSS2_RC_SUCCESS;
	if (room < bytes.size()) return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	copy_bytes({response, room}, bytes);
	_state = State::TRANSMIT;
	return TSS2_RC_SUCCESS;
}

TSS2_RC Context::cancel()
{
	if (_state != State::RECEIVE) return TSS2_TCTI_RC_BAD_SEQUENCE;
	_tpm.cancel();
	_arm_timer(0);
	return TSS2_RC_SUCCESS;
}

/* Lets the timer expire at a time of CLOCK_MONOTONIC, at once if that is past. */
void Context::_arm_timer(uint64_t until_us)
{
	if (_timer < 0) return;
	itimerspec when{};
	if (until_us != NEVER_US) {
		when.it_value.tv_sec = static_cast<time_t>(until_us / 1'000'000);
		when.it_value.tv_nsec = static_cast<long>(until_us % 1'000'000 * 1000);
		// All zeros would disarm it.
		if (until_us == 0) when.it_value.tv_nsec = 1;
	}
	(void)timerfd_settime(_timer, TFD_TIMER_ABSTIME, &when, nullptr);
}

TSS2_RC Context::poll_handles(TSS2_TCTI_POLL_HANDLE *handles, size_t *count)
{
	if (!count) return TSS2_TCTI_RC_BAD_REFERENCE;
	int const fd = _tpm.bus().fd();
	size_t const wanted = fd < 0 ? 1 : 2;
	size_t const room = std::exchange(*count, wanted);
	if (!handles) return TSS2_RC_SUCCESS;
	if (room < wanted) return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	if (_timer < 0) {
		_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (_timer < 0) return TSS2_TCTI_RC_MEMORY;
		if (_state == State::RECEIVE) _arm_timer(_tpm.next_look_us());
	}
	handles[0] = {.fd = _timer, .events = POLLIN, .revents = 0};
	if (fd >= 0) handles[1] = {.fd = fd, .events = POLLIN, .revents = 0};
	return TSS2_RC_SUCCESS;
}

TSS2_RC Context::change_locality(uint8_t locality)
{
	if (_state != State::TRANSMIT) return TSS2_TCTI_RC_BAD_SEQUENCE;
	if (locality >= tpm::LOCALITIES) return TSS2_TCTI_RC_BAD_VALUE;
	Attempt<void, tpm::Error> const changed = _tpm.change_locality(locality);
	if (changed.ok()) return TSS2_RC_SUCCESS;
	complain("locality " + std::to_string(locality) + ": " + std::string(name_of(changed.error())));
	return changed.error() == tpm::Error::LOCALITY_DENIED ? TSS2_TCTI_RC_NOT_IMPLEMENTED
														  : TSS2_TCTI_RC_IO_ERROR;
}

} // namespace bulkhead::tcti
