#pragma once

// Where systems of domains have their sockets: the broker makes them there, tools look there.

#include <string>

namespace bulkhead::linux_host {

/*
 * $BULKHEAD_RUN_DIR; else /run/bulkhead of root, and of others $XDG_RUNTIME_DIR/bulkhead or
 * /tmp/bulkhead-UID. Need not exist.
 */
std::string runtime_directory();

} // namespace bulkhead::linux_host
