#pragma once

// The tree of files that a manifest describes, made by plugins.

#include "sdk/host_system/manifest.h"
#include "vfs/plugin.h"
#include "vfs/tree.h"

#include <optional>

namespace bulkhead::host_system {

class File_tree
{
private:
	Manifest &_manifest;
	vfs::Context const _context;
	std::optional<vfs::Tree> _tree{};

	void _check(Section const &, std::span<vfs::Plugin const *const>);
	void _attach(Section const &, std::span<vfs::Plugin const *const>);

public:
	/* The manifest, and what the context refers to, outlive the tree. */
	File_tree(Manifest &manifest, vfs::Context const &context)
		: _manifest(manifest), _context(context)
	{}

	/* Adds the faults of all sections of files to the manifest's. */
	void check(std::span<vfs::Plugin const *const> plugins);

	/* Makes all files. Further faults go to the manifest. */
	void build(std::span<vfs::Plugin const *const> plugins);

	void drop() { _tree.reset(); }

	/* Only if it was built. */
	vfs::Tree &tree() { return *_tree; }
};

} // namespace bulkhead::host_system
