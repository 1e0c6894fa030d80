#pragma once

// What the commands of a TPM are called, for people who write down which of them somebody may give.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bulkhead::tpm {

/*
 * The code of a command (TPM_CC) by its name in TPM 2.0 Part 3 without "TPM2_": "GetRandom",
 * "PCR_Extend". 0: there is none of this name.
 */
uint32_t command_of_name(std::string_view name);

/* The name of a command, empty if it has none. */
std::string_view name_of_command(uint32_t code);

/* The names that there are; empty from the end on. */
std::string_view command_name(size_t index);

} // namespace bulkhead::tpm
