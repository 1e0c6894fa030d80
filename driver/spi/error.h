#pragma once

// What can go wrong on an SPI bus, each cause told apart where one can act upon it.

#include "base/error.h"

namespace bulkhead::spi {

enum class Error : uint8_t {
	CANCELLED = 1, // the job was cancelled; the chip is deselected
	TIMEOUT, // the deadline passed; the chip is deselected
	OUT_OF_FRAMES, // the job's arena is too small
	CONDITION_UNMET, // a conditional segment reached its limit, e.g. endless wait states
	TOO_LONG, // more bytes or segments than the controller can transfer at once
	UNSUPPORTED, // mode, clock, word size or segment that this controller doesn't have
	INVALID, // segments that make no sense: lengths that differ, no bytes where some are needed
	BUSY, // the bus is in use and the caller does not want to wait
	NOT_OWNER, // released, or kept selected, a bus that this device does not hold
	DENIED, // the rights of this device don't cover the request
	CHIP_SELECT_FAULT, // the chip select can't be driven, or does not exist
	CONTROLLER_FAULT, // the controller reported a failure, e.g. an overrun
	GONE, // the controller has disappeared
};

/* Whether the same transfer may succeed when it is tried again. */
constexpr bool worth_retrying(Error error)
{
	switch (error) {
	case Error::TIMEOUT:
	case Error::CONDITION_UNMET:
	case Error::BUSY:
	case Error::CONTROLLER_FAULT: return true;
	default: return false;
	}
}

constexpr bulkhead::Error convert_error(Error error, Into<bulkhead::Error>)
{
	switch (error) {
	case Error::CANCELLED: return bulkhead::Error::CANCELLED;
	case Error::TIMEOUT:
	case Error::CONDITION_UNMET: return bulkhead::Error::TIMEOUT;
	case Error::OUT_OF_FRAMES: return bulkhead::Error::OUT_OF_FRAMES;
	case Error::TOO_LONG: return bulkhead::Error::TOO_LONG;
	case Error::UNSUPPORTED: return bulkhead::Error::NOT_SUPPORTED;
	case Error::INVALID:
	case Error::NOT_OWNER: return bulkhead::Error::INVALID;
	case Error::BUSY: return bulkhead::Error::BUSY;
	case Error::DENIED: return bulkhead::Error::DENIED;
	case Error::GONE: return bulkhead::Error::GONE;
	case Error::CHIP_SELECT_FAULT:
	case Error::CONTROLLER_FAULT: break;
	}
	return bulkhead::Error::IO;
}

/* The outcome of a wait, as an error of the bus. */
constexpr Error convert_error(bulkhead::Error error, Into<Error>)
{
	switch (error) {
	case bulkhead::Error::CANCELLED: return Error::CANCELLED;
	case bulkhead::Error::TIMEOUT: return Error::TIMEOUT;
	case bulkhead::Error::OUT_OF_FRAMES: return Error::OUT_OF_FRAMES;
	case bulkhead::Error::BUSY: return Error::BUSY;
	case bulkhead::Error::GONE: return Error::GONE;
	case bulkhead::Error::TOO_LONG: return Error::TOO_LONG;
	case bulkhead::Error::INVALID: return Error::INVALID;
	case bulkhead::Error::NOT_SUPPORTED: return Error::UNSUPPORTED;
	case bulkhead::Error::DENIED: return Error::DENIED;
	default: return Error::CONTROLLER_FAULT;
	}
}

} // namespace bulkhead::spi
