#pragma once

// Where policy texts come from. The policy knows names only; who hands this in knows file systems.

#include "rpc/policy/arena.h"

namespace bulkhead::policy {

inline constexpr size_t MOST_FILES = 20'000; // in a directory, and of a policy

/* Gets the names of a directory, in any order. They are kept in the arena, which outlives them. */
struct Names
{
	Arena &arena;
	Growing_list<std::string_view> list{arena};

	/* A name without a slash. Directories are left out by the one who lists. */
	Attempt<void> name(std::string_view name)
	{
		if (list.size() >= MOST_FILES) return Error::TOO_LONG;
		return list.push_back(TRY(copy(arena, name)));
	}
};

class Files
{
protected:
	~Files() = default;

public:
	/* Names the files of a directory. Error: NOT_FOUND, what the host or `names` says. */
	virtual Attempt<void> list(std::string_view directory, Names &names) = 0;

	/* The text of a file, valid until the next call. Error: NOT_FOUND, what the host says. */
	virtual Attempt<std::string_view> read(std::string_view path) = 0;
};

} // namespace bulkhead::policy
