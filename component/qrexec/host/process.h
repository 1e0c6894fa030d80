#pragma once

// What every program does to its own process when it starts.

#include "base/attempt.h"

#include <string>
#include <string_view>

namespace bulkhead::qrexec {

/*
 * Opens /dev/null for what is closed of descriptors 0 to 2, so that nothing else gets their
 * numbers; ignores SIGPIPE, as the far end of a pipe or a socket may be gone at any time.
 * `start_service` gives programs the default back.
 */
void prepare_process();

/* As many descriptors as the hard limit allows, at most `wanted`; what the limit is now. */
size_t raise_descriptor_limit(size_t wanted);

/*
 * Tells systemd (or who else has set $NOTIFY_SOCKET) that this program is ready, and removes the
 * variable. Without effect if there is none. False and `errno` if it couldn't be told.
 */
bool notify_ready();

/* An errno in words. */
std::string errno_text(int number);

} // namespace bulkhead::qrexec
