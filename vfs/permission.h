#pragma once

// Who may do what, by the permission bits of a node, as POSIX has it.

#include "vfs/node.h"

namespace bulkhead::vfs {

/* Whose a node is, and what others may do. */
struct Ownership
{
	uint16_t mode = 0644; // permission bits, 07777
	uint32_t uid = 0;
	uint32_t gid = 0;
};

/* What somebody wants to do; the bits are those of one class in `Stat::mode`. */
enum Right : uint8_t { EXECUTE = 1, WRITE = 2, READ = 4 };

/*
 * Whether the permission bits grant all of `rights` (bits of Right). The class of the caller is
 * owner, else group, else other, and only its bits count. User 0 may do all, but executes only
 * what somebody may execute. For a directory EXECUTE is to look names up.
 */
constexpr bool permitted(Stat const &stat, Credentials const &who, unsigned rights)
{
	if (who.uid == 0)
		return !(rights & EXECUTE) || stat.type == Type::DIRECTORY || (stat.mode & 0111) != 0;
	unsigned granted = stat.mode;
	if (who.uid == stat.uid)
		granted >>= 6;
	else if (who.gid == stat.gid)
		granted >>= 3;
	return (granted & rights) == rights;
}

/*
 * Whether the sticky bit of a directory lets the caller remove or rename an entry: those who own
 * the entry or the directory, and user 0.
 */
constexpr bool sticky_permits(Stat const &directory, Stat const &entry, Credentials const &who)
{
	return !(directory.mode & 01000) || who.uid == 0 || who.uid == directory.uid ||
		who.uid == entry.uid;
}

} // namespace bulkhead::vfs
