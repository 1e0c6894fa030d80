#pragma once

// The directory of information beside a device.

#include "vfs/plugin/char_device/char_node.h"

namespace bulkhead::vfs {

/* Error: OUT_OF_MEMORY. */
Attempt<Ref<Node>> create_information(
	Context const &, Ref<Char_node>, std::string_view name, Ownership const &device);

} // namespace bulkhead::vfs
