#pragma once

// Which end of a call's data connection one has.

#include <cstdint>

namespace bulkhead::qrexec {

enum class Side : uint8_t {
	CALLER, // vchan server; sends standard input
	SERVICE, // vchan client; sends output, errors and the exit code
};

} // namespace bulkhead::qrexec
