#pragma once

// Random bytes from a TPM: what tpm-random does, on Linux and on a bare machine alike.

#include "driver/tpm/command.h"
#include "driver/tpm/interface.h"

namespace bulkhead::tpm_random {

enum class Error : uint8_t {
	OUT_OF_FRAMES = 1, // the job's arena is too small
	DRIVER, // the command did not get through; `driver_error` says why
	REFUSED, // the TPM answered with an error; `response_code` is it
	MALFORMED, // the TPM answered something that is no answer
};

constexpr std::string_view name_of(Error error)
{
	switch (error) {
	case Error::OUT_OF_FRAMES: return "out of coroutine frames";
	case Error::DRIVER: return "the command did not get through";
	case Error::REFUSED: return "the TPM refused the command";
	case Error::MALFORMED: return "the TPM's response makes no sense";
	}
	return "unknown error";
}

class Random_source
{
private:
	static constexpr unsigned REPEATS_MAX = 100;
	static constexpr uint64_t REPEAT_PAUSE_US = 20'000;

	tpm::Interface &_tpm;
	tpm::Error _driver_error{};
	tpm::Response_code _response_code = tpm::Response_code::SUCCESS;
	bool _started = false;
	uint8_t _message[tpm::MESSAGE_MAX_BYTES]{}; // a command, then its response

	Task<tpm::Response, Error> _execute(Job &, Bytes command);
	Task<tpm::Response, Error> _execute_or_repeat(Job &, uint16_t bytes);
	Task<void, Error> _start_up(Job &);

public:
	/* The TPM outlives the source; its driver was started. */
	explicit Random_source(tpm::Interface &tpm) : _tpm(tpm) {}

	/*
	 * Fills `to` with random bytes, with as many TPM2_GetRandom as it takes, and with a
	 * TPM2_Startup before the first one if nobody has started the TPM. Repeats for two seconds what
	 * the TPM asks to repeat. Errors: all of `Error`.
	 */
	Task<void, Error> fill(Job &job, Mutable_bytes to);

	/* Details of the latest failure. */
	tpm::Error driver_error() const { return _driver_error; }
	tpm::Response_code response_code() const { return _response_code; }
};

} // namespace bulkhead::tpm_random
