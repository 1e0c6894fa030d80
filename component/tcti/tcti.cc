// The module's entry points: what tpm2-tss' loader looks for, and the table of functions that each
// context begins with.

#include "component/tcti/context.h"

#include <new>

using namespace bulkhead;

namespace {

constexpr uint64_t MAGIC = 0x42554c4b48454144; // "BULKHEAD"
constexpr uint32_t VERSION = 2;

/* The memory is the caller's and as large as this. */
struct Blob
{
	TSS2_TCTI_CONTEXT_COMMON_V2 common;
	tcti::Context *context;
};

Blob *blob_of(TSS2_TCTI_CONTEXT *tcti)
{
	auto *const blob = reinterpret_cast<Blob *>(tcti);
	return blob && blob->common.v1.magic == MAGIC && blob->context ? blob : nullptr;
}

/* Calls a function of the context, if this is one. */
template <typename FUNCTION>
TSS2_RC with(TSS2_TCTI_CONTEXT *tcti, FUNCTION function)
{
	Blob *const blob = blob_of(tcti);
	return blob ? function(*blob->context) : TSS2_TCTI_RC_BAD_CONTEXT;
}

TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, uint8_t const *command)
{
	return with(tcti, [=](tcti::Context &context) { return context.transmit(size, command); });
}

TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout_ms)
{
	return with(
		tcti, [=](tcti::Context &context) { return context.receive(size, response, timeout_ms); });
}

TSS2_RC cancel(TSS2_TCTI_CONTEXT *tcti)
{
	return with(tcti, [](tcti::Context &context) { return context.cancel(); });
}

TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *count)
{
	return with(tcti, [=](tcti::Context &context) { return context.poll_handles(handles, count); });
}

TSS2_RC set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
	return with(tcti, [=](tcti::Context &context) { return context.change_locality(locality); });
}

/* Without a resource manager nothing is swapped out, and nothing could be kept from it. */
TSS2_RC make_sticky(TSS2_TCTI_CONTEXT *tcti, TPM2_HANDLE *, uint8_t)
{
	return with(tcti, [](tcti::Context &) { return TSS2_TCTI_RC_NOT_IMPLEMENTED; });
}

void finalize(TSS2_TCTI_CONTEXT *tcti)
{
	Blob *const blob = blob_of(tcti);
	if (!blob) return;
	delete blob->context;
	*blob = {};
}

TSS2_RC init(TSS2_TCTI_CONTEXT *tcti, size_t *size, char const *configuration)
{
	if (!size) return TSS2_TCTI_RC_BAD_VALUE;
	if (!tcti) {
		*size = sizeof(Blob);
		return TSS2_RC_SUCCESS;
	}
	if (*size < sizeof(Blob)) return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;

	auto *const context = new (std::nothrow) tcti::Context;
	if (!context) return TSS2_TCTI_RC_MEMORY;
	if (TSS2_RC const code = context->open(configuration); code != TSS2_RC_SUCCESS) {
		delete context;
		return code;
	}
	TSS2_TCTI_CONTEXT_COMMON_V1 const v1{
		.magic = MAGIC,
		.version = VERSION,
		.transmit = transmit,
		.receive = receive,
		.finalize = finalize,
		.cancel = cancel,
		.getPollHandles = poll_handles,
		.setLocality = set_locality,
	};
	::new (static_cast<void *>(tcti))
		Blob{.common = {.v1 = v1, .makeSticky = make_sticky}, .context = context};
	return TSS2_RC_SUCCESS;
}

constexpr TSS2_TCTI_INFO INFO{
	.version = VERSION,
	.name = "tcti-bulkhead",
	.description = "Bulkhead's TPM driver in this process: no daemon, no kernel driver, no file.",
	.config_help = "spidev:/dev/spidev0.1[,clock_hz=N][,locality=N], or "
				   "sim:SOCKET[,control=SOCKET][,locality=N][,wait_states=N][,burst_count=N] for "
				   "the swtpm behind a simulated chip",
	.init = init,
};

} // namespace

extern "C" {

[[gnu::visibility("default")]] TSS2_RC Tss2_Tcti_Bulkhead_Init(
	TSS2_TCTI_CONTEXT *tcti, size_t *size, char const *configuration)
{
	return init(tcti, size, configuration);
}

[[gnu::visibility("default")]] TSS2_TCTI_INFO const *Tss2_Tcti_Info() { return &INFO; }
}
