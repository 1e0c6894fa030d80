#pragma once

// Where policy texts come from. The policy knows names only; who hands this in knows file systems.

#include "base/attempt.h"

#include <string_view>

namespace bulkhead::policy {

/* Gets the names of a directory, in any order. */
class Names
{
protected:
	~Names() = default;

public:
	/* A name without a slash. Directories are left out by the one who lists. */
	virtual Attempt<void> name(std::string_view name) = 0;
};

class Files
{
protected:
	~Files() = default;

public:
	/* Names the files of a directory. Error: NOT_FOUND, NOT_A_DIRECTORY, what the host says. */
	virtual Attempt<void> list(std::string_view directory, Names &names) = 0;

	/* The text of a file, valid until the next call. Error: NOT_FOUND, what the host says. */
	virtual Attempt<std::string_view> read(std::string_view path) = 0;
};

} // namespace bulkhead::policy
