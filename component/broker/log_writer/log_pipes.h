#pragma once

// How a broker tells its writer of logs what to write: on a packet socket a message for each pipe,
// with its descriptor: "BYTES PATH". When the socket closes, the writer takes what is in the pipes
// and ends.

#include <cstddef>

namespace bulkhead::broker {

inline constexpr int LOG_WRITER_SOCKET = 3;
inline constexpr size_t LOG_MESSAGE_MAX = 4096;

} // namespace bulkhead::broker
