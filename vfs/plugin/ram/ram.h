#pragma once

// A complete file system in memory: files with holes, directories, symbolic and hard links. It
// takes all its memory from the allocator that it is handed, within the limits it is given.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

struct Ram_limits
{
	uint64_t bytes = uint64_t{64} << 20; // contents with their index, names and link targets
	uint64_t nodes = 65536; // files, directories and links
};

/*
 * The root directory of a new file system. It lives as long as any of its nodes or open files.
 * Errors: OUT_OF_MEMORY, NO_SPACE (a limit of no nodes).
 */
Attempt<Ref<Node>> create_ram(
	Allocator &, Calendar const &, Ram_limits const &, Ownership const &root = {.mode = 0755});

class Ram_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "ram"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
