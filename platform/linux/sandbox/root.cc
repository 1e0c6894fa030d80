#include "platform/linux/sandbox/plan.h"

#include <climits>
#include <cstdio>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

constexpr unsigned long NO_DEVICES = MS_NOSUID | MS_NODEV;

// Any directory does that every host has; what is below it has been opened by then.
constexpr char BUILDING_SITE[] = "/proc";

bool restrict_mount(int directory, char const *path, uint64_t attributes, unsigned flags)
{
	mount_attr wanted{};
	wanted.attr_set = attributes;
	return mount_setattr(directory, path, flags, &wanted, sizeof wanted) == 0;
}

/* Opens what `path` names below the root, which is where the process is; makes what isn't there of
 * it, follows no links. -1. */
int open_place(std::string &path, bool directory)
{
	open_how how{};
	how.flags = O_PATH | O_CLOEXEC;
	how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
	for (size_t at = path.find('/');; at = path.find('/', at + 1)) {
		bool const last = at == std::string::npos;
		if (!last) path[at] = 0;
		if (last && !directory)
			mknod(path.c_str(), S_IFREG | 0644, 0);
		else
			mkdir(path.c_str(), 0755);
		long const opened = syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how);
		if (!last) path[at] = '/';
		if (opened < 0 || last) return static_cast<int>(opened);
		close(static_cast<int>(opened));
	}
}

void mount_fuse(Plan &plan, Place const &place)
{
	char options[128];
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other",
		place.descriptor, INSIDE_ID, INSIDE_ID);
	char const *const target = place.target.c_str();
	need(plan, mount("bulkhead", target, "fuse", NO_DEVICES, options) == 0, steps::FUSE, target);
}

void attach(Plan &plan, Place &place)
{
	struct stat kind{};
	char const *const target = place.target.c_str();
	bool const shown = place.kind == Place::Kind::BIND || place.kind == Place::Kind::DEVICE;
	need(plan, !shown || fstat(place.descriptor, &kind) == 0, steps::SOURCE, place.source.c_str());
	int const to = open_place(place.target, !shown || S_ISDIR(kind.st_mode));
	need(plan, to >= 0, steps::PLACE, target);
	if (place.kind == Place::Kind::FUSE)
		mount_fuse(plan, place);
	else if (shown)
		need(plan,
			move_mount(place.descriptor, "", to, "",
				MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0,
			steps::PLACE, target);
	else
		need(plan, mount(target, target, nullptr, MS_BIND, nullptr) == 0, steps::PLACE, target);
	close(to);
}

/* As /proc/self/exe its file has a name. If its user owned it there, it could change it and its
 * mode: so it is on a mount that is only read, unless the file has no name any more on the host. */
void open_executable(Plan &plan)
{
	char link[64];
	char path[PATH_MAX]{};
	snprintf(link, sizeof link, "/proc/self/fd/%d", plan.executable);
	struct stat named, given;
	if (readlink(link, path, sizeof path - 1) < 0 || fstat(plan.executable, &given) != 0) return;
	int const tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fstat(tree, &named) != 0 || named.st_dev != given.st_dev || named.st_ino != given.st_ino)
		return;
	need(plan,
		restrict_mount(
			tree, "", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, AT_EMPTY_PATH),
		steps::PROGRAM);
	plan.executable = tree;
}

} // namespace

void open_sources(Plan &plan)
{
	open_executable(plan);
	size_t fuse = plan.descriptors.size() - plan.sandbox.fuse_mounts.size();
	for (Place &place : plan.places) {
		if (place.source.empty()) continue;
		char const *const source = place.source.c_str();
		if (place.kind == Place::Kind::FUSE) {
			// Whoever mounts has to be in the user namespace of whoever opened.
			place.descriptor = plan.descriptors[fuse++] = open(source, O_RDWR | O_CLOEXEC);
			need(plan, place.descriptor >= 0, steps::FUSE, source);
			continue;
		}
		place.descriptor =
			open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		uint64_t const attributes = MOUNT_ATTR_NOSUID |
			(place.kind == Place::Kind::DEVICE ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV) |
			(place.writable ? 0 : MOUNT_ATTR_RDONLY);
		need(plan,
			place.descriptor >= 0 &&
				restrict_mount(place.descriptor, "", attributes, AT_EMPTY_PATH | AT_RECURSIVE),
			steps::SOURCE, source);
	}
}

void make_root(Plan &plan)
{
	need(plan,
		mount("bulkhead", BUILDING_SITE, "tmpfs", NO_DEVICES, plan.root_options.c_str()) == 0 &&
			chdir(BUILDING_SITE) == 0,
		steps::ROOT);
	if (plan.sandbox.proc) {
		need(plan,
			mkdir("proc", 0755) == 0 &&
				mount("proc", "proc", "proc", NO_DEVICES | MS_NOEXEC, "subset=pid") == 0,
			steps::PROC);
		need(plan,
			mkdir("dev", 0755) == 0 && symlink("/proc/self/fd", "dev/fd") == 0 &&
				symlink("fd/0", "dev/stdin") == 0 && symlink("fd/1", "dev/stdout") == 0 &&
				symlink("fd/2", "dev/stderr") == 0 && mkdir("var", 0755) == 0 &&
				symlink("/run", "var/run") == 0,
			steps::ROOT);
	}
	for (Place &place : plan.places) attach(plan, place);
	need(plan,
		restrict_mount(AT_FDCWD, ".", MOUNT_ATTR_RDONLY, 0) &&
			syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
			chdir("/") == 0,
		steps::ROOT);
}

} // namespace bulkhead::linux_host::sandbox
