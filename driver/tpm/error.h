#pragma once

// What can go wrong between a TPM driver and its chip, each cause with a value of its own. What the
// TPM itself answers to a command (TPM_RC) is not an error of the driver: it is a response.

#include "driver/spi/error.h"

namespace bulkhead::tpm {

enum class Error : uint8_t {
	CANCELLED = 1, // the job was cancelled; the TPM is idle again
	TIMEOUT, // the caller's deadline passed; the TPM is idle again
	OUT_OF_FRAMES, // the job's arena is too small

	// The way to the chip.
	BUS_TIMEOUT, // the bus did not answer in time: endless wait states, or a controller that hangs
	BUS_FAULT, // the bus reported a failure
	BUS_DENIED, // bus or rights don't allow this access
	GONE, // the chip stopped answering: every register reads 0xFF

	// What is behind the bus.
	NO_TPM, // nothing answers, or it isn't a TPM
	NOT_FIFO, // a TPM whose interface is not the FIFO (CRB)
	NOT_TPM2, // a TPM 1.2

	// The interface, in the order of a command.
	LOCALITY_DENIED, // the locality was not granted within TIMEOUT_A
	LOCALITY_LOST, // another locality took over in mid-command
	NOT_READY, // no commandReady within TIMEOUT_B
	STATUS_INVALID, // no stsValid within TIMEOUT_C
	NO_BURST, // the burst count stayed zero
	COMMAND_CUT, // the TPM expected no more before all was sent
	COMMAND_LONG, // the TPM still expected more when all was sent
	HUNG, // no response within the command's duration, and cancelling did not help
	DURATION_EXCEEDED, // no response within the command's duration; it was cancelled
	COMMAND_CANCELLED, // the command was cancelled on request and the TPM gave no response to it
	RESPONSE_MALFORMED, // the size in the response's header is below 10 or above 4096
	RESPONSE_CUT, // fewer bytes came than the header says
	RESPONSE_LONG, // bytes were left over

	// The caller's side.
	COMMAND_SIZE, // below 10 or above 4096 bytes, or the header's size is another one
	BUFFER_TOO_SMALL, // the response doesn't fit; it is lost
	NOT_STARTED, // `start` has not succeeded
};

constexpr bulkhead::Error convert_error(Error error, Into<bulkhead::Error>)
{
	switch (error) {
	case Error::CANCELLED:
	case Error::COMMAND_CANCELLED: return bulkhead::Error::CANCELLED;
	case Error::TIMEOUT:
	case Error::BUS_TIMEOUT:
	case Error::HUNG:
	case Error::DURATION_EXCEEDED:
	case Error::NOT_READY: return bulkhead::Error::TIMEOUT;
	case Error::OUT_OF_FRAMES: return bulkhead::Error::OUT_OF_FRAMES;
	case Error::GONE:
	case Error::NO_TPM:
	case Error::NOT_STARTED: return bulkhead::Error::GONE;
	case Error::NOT_FIFO:
	case Error::NOT_TPM2: return bulkhead::Error::NOT_SUPPORTED;
	case Error::LOCALITY_DENIED:
	case Error::LOCALITY_LOST: return bulkhead::Error::BUSY;
	case Error::COMMAND_SIZE: return bulkhead::Error::INVALID;
	case Error::BUFFER_TOO_SMALL: return bulkhead::Error::TOO_LONG;
	case Error::BUS_DENIED: return bulkhead::Error::DENIED;
	case Error::BUS_FAULT:
	case Error::STATUS_INVALID:
	case Error::NO_BURST:
	case Error::COMMAND_CUT:
	case Error::COMMAND_LONG:
	case Error::RESPONSE_MALFORMED:
	case Error::RESPONSE_CUT:
	case Error::RESPONSE_LONG: break;
	}
	return bulkhead::Error::IO;
}

constexpr Error convert_error(bulkhead::Error error, Into<Error>)
{
	switch (error) {
	case bulkhead::Error::CANCELLED: return Error::CANCELLED;
	case bulkhead::Error::TIMEOUT: return Error::TIMEOUT;
	case bulkhead::Error::OUT_OF_FRAMES: return Error::OUT_OF_FRAMES;
	case bulkhead::Error::GONE: return Error::GONE;
	default: return Error::BUS_FAULT;
	}
}

constexpr Error convert_error(spi::Error error, Into<Error>)
{
	switch (error) {
	case spi::Error::CANCELLED: return Error::CANCELLED;
	case spi::Error::TIMEOUT: return Error::TIMEOUT;
	case spi::Error::OUT_OF_FRAMES: return Error::OUT_OF_FRAMES;
	case spi::Error::CONDITION_UNMET: return Error::BUS_TIMEOUT;
	case spi::Error::GONE: return Error::GONE;
	case spi::Error::DENIED:
	case spi::Error::BUSY:
	case spi::Error::NOT_OWNER: return Error::BUS_DENIED;
	default: return Error::BUS_FAULT;
	}
}

/* What the error means to a person, for messages. */
constexpr std::string_view name_of(Error error)
{
	switch (error) {
	case Error::CANCELLED: return "cancelled";
	case Error::TIMEOUT: return "deadline passed";
	case Error::OUT_OF_FRAMES: return "out of coroutine frames";
	case Error::BUS_TIMEOUT: return "the bus did not answer in time";
	case Error::BUS_FAULT: return "the bus failed";
	case Error::BUS_DENIED: return "the bus does not allow this access";
	case Error::GONE: return "the chip stopped answering";
	case Error::NO_TPM: return "no TPM answers";
	case Error::NOT_FIFO: return "the TPM's interface is not the FIFO";
	case Error::NOT_TPM2: return "the TPM is not a TPM 2.0";
	case Error::LOCALITY_DENIED: return "the locality was not granted";
	case Error::LOCALITY_LOST: return "the locality was lost in mid-command";
	case Error::NOT_READY: return "the TPM did not get ready for a command";
	case Error::STATUS_INVALID: return "the TPM's status never became valid";
	case Error::NO_BURST: return "the TPM took no more bytes";
	case Error::COMMAND_CUT: return "the TPM stopped taking the command";
	case Error::COMMAND_LONG: return "the TPM expected a longer command";
	case Error::HUNG: return "the TPM hangs";
	case Error::DURATION_EXCEEDED: return "the command took too long and was cancelled";
	case Error::COMMAND_CANCELLED: return "the command was cancelled on request";
	case Error::RESPONSE_MALFORMED: return "the response's header is malformed";
	case Error::RESPONSE_CUT: return "the response is shorter than its header says";
	case Error::RESPONSE_LONG: return "the response is longer than its header says";
	case Error::COMMAND_SIZE: return "the command's size is wrong";
	case Error::BUFFER_TOO_SMALL: return "the response does not fit the buffer";
	case Error::NOT_STARTED: return "the TPM was not started";
	}
	return "unknown error";
}

} // namespace bulkhead::tpm
