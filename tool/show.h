#pragma once

// `bulkhead tree` and `bulkhead stat`: what a manifest would serve, or what a mount serves.

#include <string>

namespace bulkhead::tool {

/* Each returns the exit code. */

struct Tree_options
{
	std::string of; // a manifest, or a directory
	unsigned depth = 4; // of a directory
	bool json = false;
};

int show_tree(Tree_options const &options);

struct Stat_options
{
	std::string manifest; // empty: the path is one of the machine
	std::string path;
	bool json = false;
};

int show_stat(Stat_options const &options);

} // namespace bulkhead::tool
