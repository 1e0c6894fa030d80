#include "component/tpm_random/random_source.h"

#include "base/event.h"

namespace bulkhead::tpm_random {

using tpm::Response;
using tpm::Response_code;

Task<Response, Error> Random_source::_execute(Job &job, Bytes command)
{
	Attempt<size_t, tpm::Error> const size = co_await _tpm.execute(job, command, _message);
	if (!size.ok()) {
		_driver_error = size.error();
		co_return Error::DRIVER;
	}
	Attempt<Response> const response =
		tpm::parse_response(Bytes{_message}.first(std::min(size.value(), sizeof(_message))));
	if (!response.ok()) co_return Error::MALFORMED;
	co_return response.value();
}

Task<void, Error> Random_source::_start_up(Job &job)
{
	_started = true;
	Attempt<Bytes> const command = tpm::write_startup(_message);
	BULKHEAD_ASSERT(command.ok());
	CO_TRY_ASSIGN(Response const response, co_await _execute(job, command.value()));
	// INITIALIZE: somebody else was faster.
	if (response.code == Response_code::SUCCESS || response.code == Response_code::INITIALIZE)
		co_return Ok{};
	_response_code = response.code;
	co_return Error::REFUSED;
}

Task<Response, Error> Random_source::_execute_or_repeat(Job &job, uint16_t bytes)
{
	for (unsigned repeats = 0;; ++repeats) {
		Attempt<Bytes> const command = tpm::write_get_random(_message, bytes);
		BULKHEAD_ASSERT(command.ok());
		CO_TRY_ASSIGN(Response const response, co_await _execute(job, command.value()));
		if (response.code == Response_code::SUCCESS) co_return response;
		if (response.code == Response_code::INITIALIZE && !_started) {
			CO_TRY(co_await _start_up(job));
			continue;
		}
		_response_code = response.code;
		if (!tpm::worth_repeating(response.code) || repeats == REPEATS_MAX)
			co_return Error::REFUSED;
		Attempt<void> const slept = co_await sleep_us(job, REPEAT_PAUSE_US);
		if (!slept.ok()) {
			_driver_error = convert_error(slept.error(), Into<tpm::Error>{});
			co_return Error::DRIVER;
		}
	}
}

Task<void, Error> Random_source::fill(Job &job, Mutable_bytes to)
{
	constexpr size_t AT_ONCE_MAX = 64; // no TPM has a larger digest
	while (!to.empty()) {
		size_t const wanted = std::min(to.size(), AT_ONCE_MAX);
		CO_TRY_ASSIGN(Response const response, co_await _execute_or_repeat(job, uint16_t(wanted)));
		Attempt<Bytes> const random = tpm::parse_random(response.parameters);
		if (!random.ok()) co_return Error::MALFORMED;
		// None at all would have us ask for ever.
		if (random.value().empty() || random.value().size() > wanted) co_return Error::MALFORMED;
		to = to.subspan(copy_bytes(to, random.value()));
	}
	fill_bytes(_message, 0);
	co_return Ok{};
}

} // namespace bulkhead::tpm_random
