#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The C library's header of mounts and the kernel's don't go together.
extern "C" {
int mount(char const *, char const *, char const *, unsigned long, void const *) noexcept;
int umount2(char const *, int) noexcept;
}

namespace bulkhead::linux_host::sandbox {

namespace {

constexpr unsigned long NO_DEVICES = 2 | 4; // MS_NOSUID, MS_NODEV
constexpr unsigned long NO_EXECUTION = 8; // MS_NOEXEC
constexpr unsigned long READ_ONLY = 1; // MS_RDONLY
constexpr int DETACH = 2; // MNT_DETACH

// Any directory does that every host has; what is below it has been opened by then.
constexpr char BUILDING_SITE[] = "/proc";

bool restrict_mount(int tree, char const *path, uint64_t attributes, unsigned flags)
{
	mount_attr wanted{};
	wanted.attr_set = attributes;
	return syscall(SYS_mount_setattr, tree, path, flags, &wanted, sizeof wanted) == 0;
}

/* Opens, and makes where it isn't there, what `path` names below `root`; follows no links. -1. */
int open_place(int root, char const *path, bool directory)
{
	int at = root;
	while (true) {
		char name[NAME_MAX + 1];
		size_t const bytes = strcspn(path, "/");
		bool const last = path[bytes] == 0;
		if (bytes > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path, bytes);
		name[bytes] = 0;
		path += bytes + 1;
		if (last && !directory)
			mknodat(at, name, S_IFREG | 0644, 0);
		else
			mkdirat(at, name, 0755);
		int const flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (last && !directory ? 0 : O_DIRECTORY);
		int const next = openat(at, name, flags);
		if (at != root) close(at);
		if (next < 0 || last) return next;
		at = next;
	}
}

bool attach(Plan &plan, int root, Place &place)
{
	struct stat kind{};
	if (fstat(place.tree, &kind) != 0) return fail(plan, Step::BIND, place.source);
	int const to = open_place(root, place.target, S_ISDIR(kind.st_mode));
	if (to < 0) return fail(plan, Step::BIND, place.target);
	bool const attached = syscall(SYS_move_mount, place.tree, "", to, "",
							  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
	if (!attached) return fail(plan, Step::BIND, place.target);
	close(place.tree);
	close(to);
	return true;
}

bool make_link(int root, Symbolic_link const &link)
{
	int const directory = open_place(root, link.directory, true);
	bool const good = directory >= 0 && symlinkat(link.target, directory, link.name) == 0;
	if (directory >= 0) close(directory);
	return good;
}

/* A directory of the root's own tmpfs that stays writable when the root itself no longer is. */
bool attach_scratch(Plan &plan, int root, Place &place)
{
	int const to = open_place(root, place.target, true);
	if (to < 0) return fail(plan, Step::BIND, place.target);
	place.tree = static_cast<int>(syscall(SYS_open_tree, to, "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
	if (place.tree < 0 || fchmodat(to, ".", 0700, 0) != 0)
		return fail(plan, Step::BIND, place.target);
	close(to);
	return attach(plan, root, place);
}

/* A file system of its own at a directory of the root. */
bool mount_below(
	int root, char const *target, char const *type, unsigned long flags, char const *options)
{
	int const to = open_place(root, target, true);
	bool const good =
		to >= 0 && fchdir(to) == 0 && mount("bulkhead", ".", type, flags, options) == 0;
	int const error = errno;
	if (to >= 0) close(to);
	if (fchdir(root) != 0) return false;
	errno = error;
	return good;
}

bool mount_fuse(Plan &plan, int root, unsigned index, int descriptor)
{
	// "fd=N,rootmode=40000,user_id=1000,group_id=1000,allow_other,default_permissions"
	char options[128] = "rootmode=40000,user_id=1000,group_id=1000,allow_other,fd=";
	static_assert(INSIDE_ID == 1000);
	char *end = options + strlen(options);
	char digits[12];
	int count = 0;
	for (int rest = descriptor; count == 0 || rest; rest /= 10)
		digits[count++] = char('0' + rest % 10);
	while (count) *end++ = digits[--count];
	*end = 0;
	char const *const target = plan.fuse_mounts[index].c_str() + 1;
	return mount_below(root, target, "fuse", NO_DEVICES, options) ||
		fail(plan, Step::FUSE, plan.fuse_mounts[index].c_str());
}

} // namespace

bool open_sources(Plan &plan, int *fuse)
{
	for (Place &place : plan.places) {
		if (!place.source) continue;
		place.tree = static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, place.source,
			OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
		if (place.tree < 0) return fail(plan, Step::SOURCE, place.source);
		uint64_t const attributes = MOUNT_ATTR_NOSUID |
			(place.device ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV) |
			(place.writable ? 0 : MOUNT_ATTR_RDONLY);
		if (!restrict_mount(place.tree, "", attributes, AT_EMPTY_PATH | AT_RECURSIVE))
			return fail(plan, Step::SOURCE, place.source);
	}
	// Whoever mounts has to be in the user namespace of whoever opened.
	for (size_t i = 0; i < plan.fuse_mounts.size(); ++i) {
		fuse[i] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
		if (fuse[i] < 0) return fail(plan, Step::FUSE, "/dev/fuse");
	}
	return true;
}

bool make_root(Plan &plan, int const *fuse)
{
	bool const empty = plan.places.empty() && plan.fuse_mounts.empty() && !plan.proc;
	unsigned long const flags = NO_DEVICES | (empty ? READ_ONLY | NO_EXECUTION : 0);
	if (mount("bulkhead", BUILDING_SITE, "tmpfs", flags, plan.root_options.c_str()) != 0 ||
		chdir(BUILDING_SITE) != 0)
		return fail(plan, Step::ROOT);
	if (!empty) {
		int const root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0) return fail(plan, Step::ROOT);
		if (plan.proc &&
			!mount_below(root, "proc", "proc", NO_DEVICES | NO_EXECUTION, "subset=pid"))
			return fail(plan, Step::PROC);
		for (Symbolic_link const &link : plan.links)
			if (!make_link(root, link)) return fail(plan, Step::ROOT, link.name);
		for (Place &place : plan.places)
			if (!(place.source ? attach(plan, root, place) : attach_scratch(plan, root, place)))
				return false;
		for (unsigned i = 0; i < plan.fuse_mounts.size(); ++i)
			if (!mount_fuse(plan, root, i, fuse[i])) return false;
		if (!restrict_mount(root, "", MOUNT_ATTR_RDONLY, AT_EMPTY_PATH))
			return fail(plan, Step::ROOT);
		close(root);
	}
	if (syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", DETACH) != 0 || chdir("/") != 0)
		return fail(plan, Step::SWITCH_ROOT);
	return true;
}

} // namespace bulkhead::linux_host::sandbox
