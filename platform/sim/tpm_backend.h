#pragma once

// What executes the commands that arrive in a simulated TPM's register file: a swtpm process, or a
// fake in a test.

#include "base/bytes.h"

#include <cstdint>

namespace bulkhead::sim {

/* Whoever submitted a command: the register file. */
class Tpm_client
{
protected:
	~Tpm_client() = default;

public:
	/* The response to the command that was submitted; valid during the call only. */
	virtual void response(Bytes response) = 0;

	/* The command will never be answered, and neither will any other: the chip is dead. */
	virtual void failed() = 0;
};

class Tpm_backend
{
protected:
	~Tpm_backend() = default;

public:
	/*
	 * Executes a command from a locality (0-4). It is answered by one call of `response` or
	 * `failed`, from within this call or later, and there is no other command until then. The
	 * command's bytes are valid until it is answered.
	 */
	virtual void submit(Tpm_client &client, uint8_t locality, Bytes command) = 0;

	/* Asks for an early end of the command; it is still answered. */
	virtual void cancel() = 0;

	/* Software looks at the chip while a command is executed: a chance to see if it is done. */
	virtual void poll() {}
};

} // namespace bulkhead::sim
