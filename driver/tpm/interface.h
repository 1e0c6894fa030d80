#pragma once

// What takes commands for a TPM and gives responses: the chip's driver, or something in between
// that looks like a TPM to its user, such as a resource manager.

#include "base/bytes.h"
#include "base/io.h"
#include "base/task.h"
#include "driver/tpm/error.h"

namespace bulkhead::tpm {

class Interface
{
protected:
	~Interface() = default;

public:
	/*
	 * Executes one command; returns the size of its response in bytes. A command has 10 to 4096
	 * bytes and carries its size in its header; 4096 bytes are room for every response. The
	 * response may be written over the command. What the TPM refuses is a response, too (TPM_RC).
	 */
	virtual Task<size_t, Error> execute(Job &job, Bytes command, Mutable_bytes response) = 0;

	/*
	 * Asks for the command of this job to be given up. It then ends with the response
	 * TPM_RC_CANCELED, or normally if it was faster. False if it isn't being executed. Does not
	 * block.
	 */
	virtual bool cancel(Job const &job) = 0;

	/* Who its user is from now on, until `forget`. Before the user's first command. */
	virtual void admit(Credentials const &) {}

	/* The user has gone: frees what belongs to it, so that the next one finds nothing of it. */
	virtual Task<void, Error> forget(Job &) { return Ok{}; }
};

} // namespace bulkhead::tpm
