#pragma once

// The registers of a TPM with the FIFO interface, by the names and at the offsets of the TCG PC
// Client Platform TPM Profile (PTP) for TPM 2.0, version 1.05, section 6.5. Offsets are within a
// locality; a locality is 4 KiB.

#include <cstddef>
#include <cstdint>

namespace bulkhead::tpm {

inline constexpr unsigned LOCALITIES = 5;
inline constexpr uint32_t LOCALITY_BYTES = 0x1000;

/* Where the register space lies: on SPI, and in the memory of a PC. */
inline constexpr uint32_t SPI_BASE = 0xd4'0000;
inline constexpr uintptr_t MMIO_BASE = 0xfed4'0000;

/* The most that one command or response has, and what each begins with (TPM 2.0 Part 1, 18). */
inline constexpr size_t MESSAGE_MAX_BYTES = 4096;
inline constexpr size_t HEADER_BYTES = 10;

/* At most this much data in one SPI frame (PTP 7.4.5). */
inline constexpr size_t SPI_FRAME_MAX_BYTES = 64;

enum class Register : uint16_t {
	TPM_ACCESS = 0x000,
	TPM_INT_ENABLE = 0x008,
	TPM_INT_VECTOR = 0x00c,
	TPM_INT_STATUS = 0x010,
	TPM_INTF_CAPABILITY = 0x014,
	TPM_STS = 0x018,
	TPM_DATA_FIFO = 0x024,
	TPM_INTERFACE_ID = 0x030,
	TPM_XDATA_FIFO = 0x080,
	TPM_DID_VID = 0xf00,
	TPM_RID = 0xf04,
};

/* TPM_ACCESS, 8 bits. */
namespace access {
inline constexpr uint8_t TPM_ESTABLISHMENT = 1u << 0;
inline constexpr uint8_t REQUEST_USE = 1u << 1;
inline constexpr uint8_t PENDING_REQUEST = 1u << 2;
inline constexpr uint8_t SEIZE = 1u << 3;
inline constexpr uint8_t BEEN_SEIZED = 1u << 4;
inline constexpr uint8_t ACTIVE_LOCALITY = 1u << 5; // written: relinquish
inline constexpr uint8_t TPM_REG_VALID_STS = 1u << 7;
} // namespace access

/* TPM_STS, 32 bits. */
namespace sts {
inline constexpr uint32_t RESPONSE_RETRY = 1u << 1;
inline constexpr uint32_t SELF_TEST_DONE = 1u << 2;
inline constexpr uint32_t EXPECT = 1u << 3;
inline constexpr uint32_t DATA_AVAIL = 1u << 4;
inline constexpr uint32_t TPM_GO = 1u << 5;
inline constexpr uint32_t COMMAND_READY = 1u << 6;
inline constexpr uint32_t STS_VALID = 1u << 7;
inline constexpr unsigned BURST_COUNT_SHIFT = 8; // 16 bits
inline constexpr uint32_t BURST_COUNT = 0xffffu << BURST_COUNT_SHIFT;
inline constexpr uint32_t COMMAND_CANCEL = 1u << 24;
inline constexpr uint32_t RESET_ESTABLISHMENT = 1u << 25;
inline constexpr unsigned TPM_FAMILY_SHIFT = 26; // 2 bits; 1: TPM 2.0
inline constexpr uint32_t RESERVED = 1u << 0; // reads 0

constexpr uint16_t burst_count(uint32_t value) { return uint16_t(value >> BURST_COUNT_SHIFT); }
constexpr unsigned tpm_family(uint32_t value) { return (value >> TPM_FAMILY_SHIFT) & 3; }
} // namespace sts

/* TPM_INT_ENABLE and TPM_INT_STATUS, 32 bits. */
namespace interrupt {
inline constexpr uint32_t DATA_AVAIL = 1u << 0;
inline constexpr uint32_t STS_VALID = 1u << 1;
inline constexpr uint32_t LOCALITY_CHANGE = 1u << 2;
inline constexpr uint32_t TYPE_LOW_LEVEL = 1u << 3; // typePolarity, bits 4:3: active low level
inline constexpr uint32_t COMMAND_READY = 1u << 7;
inline constexpr uint32_t GLOBAL_ENABLE = 1u << 31;
} // namespace interrupt

/* TPM_INTERFACE_ID, 32 bits. */
namespace interface_id {
inline constexpr uint32_t TYPE_MASK = 0xf;
inline constexpr uint32_t TYPE_FIFO = 0x0; // of the PTP
inline constexpr uint32_t TYPE_CRB = 0x1;
inline constexpr uint32_t TYPE_TIS = 0xf; // FIFO of TIS 1.3: the rest of the register is undefined
} // namespace interface_id

/* TPM_INTF_CAPABILITY, 32 bits. */
namespace capability {
inline constexpr unsigned VERSION_SHIFT = 28; // 3 bits; 3: PTP for TPM 2.0
inline constexpr uint32_t DATA_AVAIL_INT = 1u << 0;
} // namespace capability

} // namespace bulkhead::tpm
