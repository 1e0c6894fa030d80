#pragma once

// `bulkhead start`, `stop`, `restart` and `reload`.

#include "domain/gate/message.h"

#include <string>

namespace bulkhead::tool {

struct Life_options
{
	std::string system{};
	std::string domain{}; // empty: all
	domain::Admin what{};
};

/* Returns the exit code. */
int change_life(Life_options const &options);

} // namespace bulkhead::tool
