#pragma once

// Which systems run here: each broker has a directory of its own, with the socket of its operators.

#include "base/attempt.h"
#include "tool/outcome.h"

#include <string>
#include <vector>

namespace bulkhead::tool {

/* Systems with a socket in that directory, by name; whether somebody listens there isn't said. */
std::vector<std::string> systems_in(std::string const &directory);

/* The one that is meant: the one named, else the only one. */
Or_trouble<std::string> choose_system(
	std::vector<std::string> const &systems, std::string const &name);

} // namespace bulkhead::tool
