#pragma once

// A TCTI context of tpm2-tss: the functions that the TSS calls, on top of a TPM with its driver in
// this process (TCG TSS 2.0 TPM Command Transmission Interface Specification 1.0). As every TCTI,
// a context is used by one thread at a time; different contexts don't know of each other.

#include "sdk/host_tpm/host_tpm.h"

#include <tss2/tss2_tcti.h>

namespace bulkhead::tcti {

class Context
{
private:
	enum class State : uint8_t { TRANSMIT, RECEIVE };

	sdk::Host_tpm _tpm{};
	State _state = State::TRANSMIT;
	int _timer = -1; // expires when the driver wants to look at the chip

	void _arm_timer(uint64_t until_us);

public:
	Context() = default;
	Context(Context const &) = delete;
	Context &operator=(Context const &) = delete;
	~Context();

	/*
	 * Opens the TPM that the configuration names. BAD_VALUE (the name), NO_CONNECTION (no such
	 * device or socket, or nobody answers), NOT_PERMITTED, NOT_SUPPORTED (no TPM 2.0 with a FIFO),
	 * IO_ERROR, MEMORY.
	 */
	TSS2_RC open(char const *configuration);

	/* BAD_SEQUENCE: a response is due. BAD_VALUE: this isn't a command. */
	TSS2_RC transmit(size_t size, uint8_t const *command);

	/*
	 * Waits for the response as long as `timeout_ms` says. TRY_AGAIN: it hasn't come.
	 * INSUFFICIENT_BUFFER: it is larger than `*size`, which says then how large; so it does without
	 * a buffer. The response can be received still, in both cases. With any other error there is
	 * none and the next command is welcome.
	 */
	TSS2_RC receive(size_t *size, uint8_t *response, int32_t timeout_ms);

	/* The response is still to be received. */
	TSS2_RC cancel();

	/*
	 * Descriptors one of which becomes readable when `receive` is worth calling: when the driver
	 * wants to look at the chip, or the chip has something to say.
	 */
	TSS2_RC poll_handles(TSS2_TCTI_POLL_HANDLE *handles, size_t *count);

	/* NOT_IMPLEMENTED: this locality isn't to be had here; all stays as it is. */
	TSS2_RC change_locality(uint8_t locality);
};

} // namespace bulkhead::tcti
