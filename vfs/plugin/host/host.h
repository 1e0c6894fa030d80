#pragma once

// A directory of the Linux host. Nothing leads out of it: names are looked up one by one, relative
// to the directory's own descriptor, no symbolic link is followed here (they are shown, and whoever
// walks a path follows them in the tree), and what is neither file, directory nor symbolic link is
// not shown, so that no open waits for the other end of a pipe.
//
// System calls run on other threads, with buffers of their own: a disk or server that doesn't
// answer keeps nobody waiting but its caller, who can be cancelled.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

struct Host_options
{
	char const *path = nullptr; // of the directory; ends with a zero
	bool writable = false;
	unsigned open_files = 256; // the most descriptors in use, but for what is removed and in use
};

/*
 * The directory as a node. The offload outlives all nodes and open files. May block. Errors: those
 * of opening the directory; NOT_SUPPORTED (there is no /proc).
 */
Attempt<Ref<Node>> create_host(Allocator &, Offload &, Host_options const &);

class Host_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "host"; }
	std::span<Key const> keys() const override;
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override;
};

} // namespace bulkhead::vfs
