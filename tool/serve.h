#pragma once

// `bulkhead serve`: mounts what a manifest describes, until a signal comes or somebody unmounts it.

#include <string>

namespace bulkhead::tool {

struct Serve_options
{
	std::string manifest;
	std::string mount; // instead of the manifest's
	bool check = false; // read and check the manifest only
	bool verbose = false;
	int ready_fd = -1; // is told a line when all is served, and closed
};

/* Returns the exit code. */
int serve(Serve_options const &options);

} // namespace bulkhead::tool
