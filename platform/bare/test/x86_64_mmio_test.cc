#include "platform/bare/check.h"
#include "platform/bare/machine.h"

#include <cstdint>

// The TPM's register window of q35 must be reachable at every width. What is there differs: without
// a TPM QEMU 7.2 reads zeros, a real bus ones; with one there are the registers of TCG PC Client
// Platform TPM Profile 1.05, section 6.

namespace {

using namespace bulkhead::bare;

constexpr std::uintptr_t TPM = 0xFED4'0000;
constexpr std::uintptr_t TPM_ACCESS = 0x000, TPM_DID_VID = 0xF00;
constexpr std::uint8_t REQUEST_USE = 0x02, ACTIVE_LOCALITY = 0x20, VALID = 0x80;

template <typename T>
T volatile &mmio(std::uintptr_t offset)
{
	return *reinterpret_cast<T volatile *>(TPM + offset);
}

bool absent() { return (mmio<std::uint32_t>(TPM_DID_VID) + 1) <= 1; }

void widths_agree(Check_run &run)
{
	std::uint32_t const id = mmio<std::uint32_t>(TPM_DID_VID);
	for (unsigned byte = 0; byte < 4; byte++)
		CHECK(run, mmio<std::uint8_t>(TPM_DID_VID + byte) == (id >> 8 * byte & 0xFF));
	CHECK(run, mmio<std::uint16_t>(TPM_DID_VID) == (id & 0xFFFF));
}

void writes_reach(Check_run &run)
{
	std::uint8_t const before = mmio<std::uint8_t>(TPM_ACCESS);
	mmio<std::uint8_t>(TPM_ACCESS) = REQUEST_USE;
	std::uint8_t const after = mmio<std::uint8_t>(TPM_ACCESS);
	if (absent())
		CHECK(run, after == before);
	else
		CHECK(run, (after & (VALID | ACTIVE_LOCALITY)) == (VALID | ACTIVE_LOCALITY));
}

} // namespace

int bare_main()
{
	Check_run run;
	run.test("registers read the same at every width", widths_agree);
	run.test("a write reaches the TPM, or nothing", writes_reach);
	print("TPM vendor: ", absent() ? "none" : "");
	if (!absent()) print(bulkhead::Hex(mmio<std::uint16_t>(TPM_DID_VID), 4));
	print("\n");
	return run.result();
}
