#include "sdk/c/tpm.h"

#include "sdk/c/bus.h"
#include "sdk/host_tpm/host_tpm.h"

#include <memory>
#include <new>

using namespace bulkhead;

struct Bulkhead_tpm
{
	sdk::Host_tpm tpm{};
	tpm::Error error{};
};

int bulkhead_tpm_open(char const *name, Bulkhead_tpm **tpm, Bulkhead_message *why)
{
	*tpm = nullptr;
	std::unique_ptr<Bulkhead_tpm> opened(new (std::nothrow) Bulkhead_tpm);
	if (!opened) {
		sdk::say(why, "out of memory");
		return -errno_of(Error::OUT_OF_MEMORY);
	}
	Attempt<void> const result = opened->tpm.open(name ? name : "");
	sdk::say(why, opened->tpm.message());
	if (!result.ok()) return -errno_of(result.error());
	*tpm = opened.release();
	return 0;
}

static int fail(Bulkhead_tpm &tpm, tpm::Error error)
{
	tpm.error = error;
	return -errno_of(outer_error(error));
}

int bulkhead_tpm_transact(Bulkhead_tpm *tpm, uint8_t const *command, size_t command_size,
	uint8_t *response, size_t response_room)
{
	if (!command || !response || command_size > BULKHEAD_TPM_MESSAGE_MAX)
		return fail(*tpm, tpm::Error::COMMAND_SIZE);
	// No command goes on, as each is waited for, so what fails is the lack of frames.
	if (!tpm->tpm.begin({command, command_size}).ok()) return fail(*tpm, tpm::Error::OUT_OF_FRAMES);
	(void)tpm->tpm.wait();
	Attempt<Bytes, tpm::Error> const received = tpm->tpm.response();
	if (!received.ok()) return fail(*tpm, received.error());
	if (received.value().size() > response_room) return fail(*tpm, tpm::Error::BUFFER_TOO_SMALL);
	return static_cast<int>(copy_bytes({response, response_room}, received.value()));
}

char const *bulkhead_tpm_reason(Bulkhead_tpm const *tpm) { return name_of(tpm->error).data(); }

void bulkhead_tpm_close(Bulkhead_tpm *tpm) { delete tpm; }
