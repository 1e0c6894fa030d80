#pragma once

// What may be the name of a directory entry.

#include "vfs/node.h"

namespace bulkhead::vfs {

/* Whether a text can be a name: not empty, not "." or "..", without '/' and NUL, not too long. */
constexpr bool valid_name(std::string_view name)
{
	if (name.empty() || name.size() > NAME_MAX_BYTES || name == "." || name == "..") return false;
	return std::ranges::none_of(name, [](char c) { return c == '/' || c == '\0'; });
}

} // namespace bulkhead::vfs
