#pragma once

// The directory that a file system is mounted on: whether it will do, and what a predecessor that
// has crashed has left there.

#include <optional>
#include <string>

namespace bulkhead::fuse {

/* What keeps a file system from being mounted, for the one who asked for it. */
struct Problem
{
	enum class Kind : uint8_t {
		NO_FUSE, // the kernel or the machine has none
		NO_PERMISSION, // for FUSE, or for the mount point
		NO_MOUNT_POINT, // not there, or no directory
		IN_USE, // something is mounted there, or it isn't empty
		FAILED, // anything else
	};

	Kind kind;
	std::string what; // one sentence without its full stop
	std::string remedy; // what to do about it; may be empty
};

/* The type of our mounts in /proc/self/mountinfo. */
inline constexpr char const *FUSE_SUBTYPE = "bulkhead";

/* Whether FUSE is there for this user. */
std::optional<Problem> check_fuse(std::string const &device = "/dev/fuse");

/*
 * Whether something can be mounted at the path. A mount of ours whose server has died is taken
 * away first. Blocks, as long as a stuck file system on the way does.
 */
std::optional<Problem> prepare_mount_point(std::string const &path);

/*
 * The path without symbolic links, as mounting wants it; the last component may be a mount that
 * can't be looked at. The path itself if it leads nowhere.
 */
std::string real_mount_point(std::string path);

/* The type of what is mounted exactly here ("ext4", "fuse.bulkhead"), empty if nothing is. */
std::string mounted_type(std::string const &path);

/* Takes the topmost mount away, at once for names and later for those who still use it. */
bool unmount_lazily(std::string const &path);

} // namespace bulkhead::fuse
