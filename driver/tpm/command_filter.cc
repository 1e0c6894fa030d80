#include "driver/tpm/command_filter.h"

#include "driver/tpm/command.h"

namespace bulkhead::tpm {

// TPM_CC, Part 2, 6.5.1: bits of a code beside the 16 of the index.
static constexpr uint32_t VENDOR = 1u << 29;
static constexpr uint32_t INDEX = 0xffff;

// TPM_RC, Part 2, 6.6.3, and the layer of a resource manager (TSS 2.0 Overview, TSS2_RC).
static constexpr uint32_t TPM_RC_BAD_TAG = 0x01e;
static constexpr uint32_t TPM_RC_COMMAND_CODE = 0x143;
static constexpr uint32_t RESMGR_LAYER = 11u << 16;

Attempt<void> Command_rule::allow(uint32_t code)
{
	if (code & VENDOR) {
		if (code & ~(VENDOR | INDEX)) return bulkhead::Error::INVALID;
		if (allows(code)) return Ok{};
		if (!_vendor.push_back(code).ok()) return bulkhead::Error::NO_SPACE;
		return Ok{};
	}
	if (code < FIRST || code - FIRST >= COUNT) return bulkhead::Error::INVALID;
	_named[(code - FIRST) / 64] |= uint64_t{1} << (code - FIRST) % 64;
	return Ok{};
}

bool Command_rule::allows(uint32_t code) const
{
	if (code & VENDOR) {
		for (uint32_t const named : _vendor)
			if (named == code) return true;
		return false;
	}
	if (code & ~INDEX) return false; // reserved bits
	if (_all) return true;
	if (code < FIRST || code - FIRST >= COUNT) return false;
	return _named[(code - FIRST) / 64] >> (code - FIRST) % 64 & 1;
}

static Attempt<size_t, Error> answer(Mutable_bytes to, uint32_t code)
{
	if (to.size() < HEADER_BYTES) return Error::BUFFER_TOO_SMALL;
	Byte_writer writer{to};
	writer.u16_be(TPM_ST_NO_SESSIONS);
	writer.u32_be(HEADER_BYTES);
	writer.u32_be(code);
	return size_t{HEADER_BYTES};
}

void Command_filter::admit(Credentials const &who)
{
	_rule = _policy.rule_of(who);
	_next.admit(who);
}

Task<size_t, Error> Command_filter::execute(Job &job, Bytes command, Mutable_bytes response)
{
	Attempt<Header> const header = parse_header(command);
	if (!header.ok() || header.value().size != command.size()) return Error::COMMAND_SIZE;
	uint16_t const tag = header.value().tag;
	if (tag != TPM_ST_NO_SESSIONS && tag != TPM_ST_SESSIONS)
		return answer(response, RESMGR_LAYER | TPM_RC_BAD_TAG);
	uint32_t const code = header.value().code;
	if (_rule && _rule->allows(code)) return _next.execute(job, command, response);
	_policy.refused(_rule, code);
	return answer(response, RESMGR_LAYER | TPM_RC_COMMAND_CODE);
}

Task<void, Error> Command_filter::forget(Job &job)
{
	_rule = nullptr;
	return _next.forget(job);
}

} // namespace bulkhead::tpm
