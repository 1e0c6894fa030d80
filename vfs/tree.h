#pragma once

// The root of all names, and operations by path for those who are in the same process. A front end
// that keeps nodes itself (FUSE) starts at `root()` and needs nothing else of this.
//
// There is no table of mounts: an attached node is an entry of a Static_directory.

#include "vfs/static_directory.h"

namespace bulkhead::vfs {

/* The longest path in bytes, how deep it may lead, and how many symbolic links may lie on it. */
inline constexpr size_t PATH_MAX_BYTES = 4095;
inline constexpr unsigned DEPTH_MAX = 64;
inline constexpr unsigned LINKS_MAX = 40;

/* What happens if the last component of a path is a symbolic link. */
enum class Last : uint8_t { FOLLOW, KEEP };

/*
 * Paths begin at the root, with or without '/'. "." and ".." mean what they do in POSIX, and ".."
 * of the root is the root: no path leads out of the tree. What is handed in lives until the task
 * has ended.
 *
 * Errors of all operations beside those of the plugins: NOT_FOUND, NOT_A_DIRECTORY, DENIED (by
 * the permission bits of the nodes on the way and at the end), TOO_LONG (path, name or depth),
 * TOO_MANY_LINKS, INVALID (a NUL in the path), OUT_OF_MEMORY, OUT_OF_FRAMES, CANCELLED.
 */
class Tree
{
private:
	Allocator *_allocator;
	Ref<Node> _root;

	Tree(Allocator &allocator, Ref<Node> root) : _allocator(&allocator), _root(std::move(root)) {}

public:
	/* A tree with an empty directory. The allocator outlives it. Error: OUT_OF_MEMORY. */
	static Attempt<Tree> create(Allocator &allocator, Calendar const &calendar);

	Node &root() const { return *_root; }

	/*
	 * Makes a node appear at a path and makes missing directories on the way. "/" replaces the
	 * root if that is still empty. Errors: EXISTS, NOT_A_DIRECTORY (something on the way is no
	 * static directory, or the node for the root is none at all), INVALID (path), OUT_OF_MEMORY.
	 * Does not block.
	 */
	Attempt<void> attach(std::string_view path, Ref<Node> node);

	/* Takes an attached node away; whoever has it open keeps it. Error: NOT_FOUND. */
	Attempt<void> detach(std::string_view path);

	/* The node that a path leads to. */
	Task<Ref<Node>> resolve(
		Job &, Credentials const &who, std::string_view path, Last last = Last::FOLLOW);

	/*
	 * Opens a file, directory or device. The handle refuses with DENIED to read or write if it was
	 * not opened for that; what the caller may do was decided here, once.
	 */
	Task<Ref<File>> open(Job &, Credentials const &who, std::string_view path, Access access);

	Task<Stat> stat(Job &, Credentials const &who, std::string_view path, Last last = Last::FOLLOW);

	/* Only the owner may change mode and times, only user 0 the owner; a size is written. */
	Task<void> change(Job &, Credentials const &who, std::string_view path, Changes const &changes);

	/* Makes a file, directory or symbolic link. EXISTS also if the name is a dangling link. */
	Task<Ref<Node>> create(
		Job &, Credentials const &who, std::string_view path, New_node const &node);

	/* Gives a node (a symbolic link is not followed) a further name. */
	Task<void> link(
		Job &, Credentials const &who, std::string_view path, std::string_view new_path);

	/* Removes an empty directory, or anything else. */
	Task<void> remove(Job &, Credentials const &who, std::string_view path, bool directory);

	Task<void> rename(Job &, Credentials const &who, std::string_view from, std::string_view to,
		Rename how = Rename::REPLACE);

	/* The target of a symbolic link: as many bytes as fit. */
	Task<size_t> read_link(
		Job &, Credentials const &who, std::string_view path, std::span<char> to);
};

} // namespace bulkhead::vfs
