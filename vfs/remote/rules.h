#pragma once

// What a client may see and do of a tree: a view of it, whose nodes stand before those of the tree
// and let through what the rules allow. Whatever asks, a view is all that it has.

#include "vfs/node.h"

#include <string>
#include <vector>

namespace bulkhead::remote {

struct Rules
{
	/*
	 * Nothing is changed: no file is opened for writing, no entry made or removed, and of the
	 * controls of devices only those remain whose number says that they but read (_IOR). What a
	 * device does when it is read is its own matter.
	 */
	bool read_only = false;

	/*
	 * Paths from the root of the view ("tpm0", "/log/x*"), all that the client sees, each with
	 * what is below it; patterns as of fnmatch(3) within a name. Directories on the way are seen,
	 * with what of their entries is seen. None: all is seen. At most NODES_MAX.
	 */
	std::vector<std::string> nodes{};
};

inline constexpr size_t NODES_MAX = 64;

/*
 * The tree below `root` by these rules. The same node is the same one in the view as long as
 * somebody refers to it. Errors: INVALID (no path, ".." in it, or too many), OUT_OF_MEMORY.
 */
Attempt<Ref<vfs::Node>> restricted(Ref<vfs::Node> root, Rules const &rules);

} // namespace bulkhead::remote
