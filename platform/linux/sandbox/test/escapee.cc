// Tries to get out of its sandbox, in the one way that its first argument names, and says whether
// it could: exit code 0 and "out", or "in: " and why not. Without an argument: the names of all
// ways. Other arguments: the process of a victim on the host, a secret file there, a port of
// 127.0.0.1.

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/kcmp.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

pid_t victim;
char const *secret;
int port;

/* Of a way: not negative, or it didn't work. */
using Way = long();

long connected(int family, sockaddr const *address, socklen_t bytes)
{
	int const descriptor = ::socket(family, SOCK_STREAM, 0);
	return descriptor < 0 ? -1 : connect(descriptor, address, bytes);
}

long connect_tcp()
{
	sockaddr_in address{};
	address.sin_family = AF_INET;
	address.sin_port = htons(static_cast<uint16_t>(port));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connected(AF_INET, reinterpret_cast<sockaddr *>(&address), sizeof address);
}

long connect_abstract()
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	int const bytes = snprintf(address.sun_path + 1, 64, "bulkhead-escape-%d", port);
	return connected(AF_UNIX, reinterpret_cast<sockaddr *>(&address),
		static_cast<socklen_t>(sizeof(sa_family_t) + 1 + static_cast<size_t>(bytes)));
}

/* Anything open that wasn't given: 0, 1, 2 are. */
long use_inherited()
{
	for (int i = 3; i < 4096; ++i)
		if (fcntl(i, F_GETFD) >= 0) return i;
	return -1;
}

long climb_descriptors()
{
	for (int i = 0; i < 1024; ++i)
		for (char const *const path : {"../../../../etc/passwd", "etc/passwd", "."}) {
			int const file = openat(i, path, O_RDONLY);
			if (file >= 0) return file;
		}
	return -1;
}

/* The old way: out of a root that is below the directory where it is. */
long break_chroot()
{
	mkdir("/tmp/x", 0700);
	if (chroot("/tmp/x") != 0) return -1;
	for (int i = 0; i < 64; ++i) (void)!chdir("..");
	(void)!chroot(".");
	return open(secret, O_RDONLY);
}

long trace()
{
	long const result = ptrace(PTRACE_SEIZE, victim, nullptr, nullptr);
	return result;
}

long read_memory()
{
	char byte;
	iovec const local{&byte, 1};
	iovec const remote{reinterpret_cast<void *>(0x400000), 1};
	return process_vm_readv(victim, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT ? -1 : 0;
}

long take_descriptor()
{
	int const process = static_cast<int>(syscall(SYS_pidfd_open, victim, 0));
	return syscall(SYS_pidfd_getfd, process, 0, 0);
}

long enter_namespaces()
{
	int const process = static_cast<int>(syscall(SYS_pidfd_open, victim, 0));
	return setns(process, CLONE_NEWNS | CLONE_NEWNET);
}

long clone_into(unsigned long flags)
{
	long const pid = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
	if (pid == 0) _exit(0);
	return pid;
}

long clone3_user()
{
	clone_args arguments{};
	arguments.flags = CLONE_NEWUSER;
	arguments.exit_signal = SIGCHLD;
	long const pid = syscall(SYS_clone3, &arguments, sizeof arguments);
	if (pid == 0) _exit(0);
	return pid;
}

long make_ring()
{
	io_uring_params parameters{};
	return syscall(SYS_io_uring_setup, 4, &parameters);
}

long load_bpf()
{
	bpf_attr attributes{};
	attributes.map_type = BPF_MAP_TYPE_ARRAY;
	attributes.key_size = attributes.value_size = 4;
	attributes.max_entries = 1;
	return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

long count_events()
{
	perf_event_attr attributes{};
	attributes.size = sizeof attributes;
	attributes.type = PERF_TYPE_SOFTWARE;
	return syscall(SYS_perf_event_open, &attributes, victim, -1, -1, 0);
}

long execute_memory()
{
	int const memory = static_cast<int>(syscall(SYS_memfd_create, "x", 0));
	char const script[] = "#!/bin/true\n";
	if (memory < 0 || write(memory, script, sizeof script - 1) < 0) return -1;
	char name[] = "x";
	char *const arguments[]{name, nullptr};
	return syscall(SYS_execveat, memory, "", arguments, arguments + 1, AT_EMPTY_PATH);
}

long execute_shell()
{
	char name[] = "sh";
	char *const arguments[]{name, nullptr};
	execve("/bin/true", arguments, arguments + 1);
	return -1;
}

/* Whether a capability is left in any set that could give one. */
long keep_capability()
{
	__user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
	__user_cap_data_struct data[2]{};
	if (syscall(SYS_capget, &header, data) == 0)
		for (auto const &set : data)
			if (set.effective | set.permitted | set.inheritable) return 0;
	for (int i = 0; i < 64; ++i)
		if (prctl(PR_CAPBSET_READ, i) == 1) return i;
	return -1;
}

long raise_capability()
{
	__user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
	__user_cap_data_struct data[2]{};
	data[0].effective = data[0].permitted = 1 << CAP_SYS_ADMIN >> 0;
	return syscall(SYS_capset, &header, data);
}

#ifdef __x86_64__
/* i386's number of getpid. */
long enter_by_int_80()
{
	long result = 20;
	asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	return result;
}

long enter_by_x32() { return syscall(0x40000000 | SYS_getpid); }

long use_ports() { return syscall(SYS_ioperm, 0x80, 1, 1); }
#else
// Doors that other processors don't have.
long enter_by_int_80() { return -1; }
long enter_by_x32() { return -1; }
long use_ports() { return -1; }
#endif

/* Host's System V memory; the test makes it with this key. */
long attach_memory() { return shmget(0x62756c6b, 1, 0600); }

long push_input()
{
	char const byte = 'x';
	return ioctl(0, TIOCSTI, &byte);
}

long push_input_high_bits()
{
	char const byte = 'x';
	return syscall(SYS_ioctl, 0, 0x100000000 | TIOCSTI, &byte);
}

/* Somebody else's name on a message. */
long forge_sender()
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return -1;
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))]{};
	char byte = 0;
	iovec data{&byte, 1};
	msghdr message{};
	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof control;
	cmsghdr *const header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_CREDENTIALS;
	header->cmsg_len = CMSG_LEN(sizeof(ucred));
	ucred const forged{victim, 0, 0};
	memcpy(CMSG_DATA(header), &forged, sizeof forged);
	return sendmsg(ends[0], &message, 0);
}

long raise_limit(__rlimit_resource resource)
{
	rlimit limit{};
	getrlimit(resource, &limit);
	rlim_t const before = limit.rlim_max;
	limit.rlim_max = before + 1;
	return setrlimit(resource, &limit);
}

long own_file_system() { return mount("x", "/", "tmpfs", 0, nullptr); }

/* A value that isn't negative, or -1 with errno. */
long set_priority() { return setpriority(PRIO_PROCESS, 0, -20); }

long send_signal_to_all()
{
	// Nobody but itself is there, which this doesn't reach: so it says that there is nobody.
	return kill(-1, 0);
}

struct Named
{
	char const *name;
	Way *way;
};

#define WAY(name, ...) \
	Named \
	{ \
		name, +[]() -> long { return (__VA_ARGS__); } \
	}

constexpr int READ_WRITE = O_RDWR;

Named const WAYS[]{
	WAY("open a file of the host", open("/etc/passwd", O_RDONLY)),
	WAY("open a secret", open(secret, O_RDONLY)),
	WAY("open by a root in proc", open("/proc/1/root/etc/passwd", O_RDONLY)),
	WAY("open the victim's memory",
		open(("/proc/" + std::to_string(victim) + "/mem").c_str(), O_RDONLY)),
	WAY("open kernel memory", open("/dev/mem", O_RDONLY)),
	WAY("open FUSE", open("/dev/fuse", READ_WRITE)),
	WAY("open settings of the kernel", open("/proc/sys/kernel/core_pattern", O_RDONLY)),
	WAY("open sysfs", open("/sys/kernel", O_RDONLY)),
	WAY("make a file in the root", open("/x", O_CREAT | O_WRONLY, 0600)),
	WAY("make a directory in the root", mkdir("/x", 0700)),
	WAY("make a block device", mknod("/tmp/x", S_IFBLK | 0600, makedev(254, 0))),
	WAY("make a character device", mknod("/tmp/y", S_IFCHR | 0600, makedev(1, 1))),
	WAY("map another user",
		open("/proc/self/uid_map", O_WRONLY) < 0
			? -1
			: write(open("/proc/self/uid_map", O_WRONLY), "0 0 1", 5)),
	WAY("use what is inherited", use_inherited()),
	WAY("climb from descriptors", climb_descriptors()),
	WAY("break out of a chroot", break_chroot()),
	WAY("open by handle",
		syscall(SYS_open_by_handle_at, AT_FDCWD, nullptr, 0) < 0 && errno != EFAULT ? -1 : 0),
	WAY("mount", own_file_system()),
	WAY("mount again, writable", mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND, nullptr)),
	WAY("unmount", umount2("/", MNT_DETACH)),
	WAY("change the root", syscall(SYS_pivot_root, ".", ".")),
	WAY("open a file system", syscall(SYS_fsopen, "tmpfs", 0)),
	WAY("clone mounts", syscall(SYS_open_tree, AT_FDCWD, "/", 1)),
	WAY("change a mount",
		syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, "", 0) < 0 && errno != EINVAL ? -1 : 0),
	WAY("connect to the host by TCP", connect_tcp()),
	WAY("connect to the host by an abstract name", connect_abstract()),
	WAY("socket of packets", socket(AF_PACKET, SOCK_RAW, 0)),
	WAY("socket of virtual machines", socket(40 /* AF_VSOCK */, SOCK_STREAM, 0)),
	WAY("socket of the kernel's ciphers", socket(AF_ALG, SOCK_SEQPACKET, 0)),
	WAY("socket of audit", socket(AF_NETLINK, SOCK_RAW, 9)),
	WAY("socket of raw IP", socket(AF_INET, SOCK_RAW, IPPROTO_RAW)),
	WAY("trace the victim", trace()),
	WAY("signal the victim", kill(victim, 0)),
	WAY("signal the parent", getppid() == 0 ? -1 : kill(getppid(), 0)),
	WAY("signal everybody", send_signal_to_all()),
	WAY("signal a thread of the victim", syscall(SYS_tgkill, victim, victim, 0)),
	WAY("read the victim's memory", read_memory()),
	WAY("hold the victim", syscall(SYS_pidfd_open, victim, 0)),
	WAY("take the victim's descriptor", take_descriptor()),
	WAY("enter the victim's namespaces", enter_namespaces()),
	WAY("compare with the victim", syscall(SYS_kcmp, getpid(), victim, KCMP_FILES, 0, 0)),
	WAY("limit the victim", prlimit(victim, RLIMIT_CORE, nullptr, nullptr) < 0 ? -1 : 0),
	WAY("slow the victim", setpriority(PRIO_PROCESS, static_cast<id_t>(victim), 19)),
	WAY("add a key", syscall(SYS_add_key, "user", "x", "x", 1, KEY_SPEC_SESSION_KEYRING)),
	WAY("find keys", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1)),
	WAY("request a key",
		syscall(SYS_request_key, "user", "x", nullptr, 0) < 0 && errno != ENOKEY ? -1 : 0),
	WAY("make an io_uring", make_ring()),
	WAY("own user namespace", unshare(CLONE_NEWUSER)),
	WAY("own mount namespace", unshare(CLONE_NEWNS)),
	WAY("clone with a user namespace", clone_into(CLONE_NEWUSER)),
	WAY("clone with a pid namespace", clone_into(CLONE_NEWPID)),
	WAY("clone3 with a user namespace", clone3_user()),
	WAY("load BPF", load_bpf()),
	WAY("count the victim's events", count_events()),
	WAY("take over page faults", syscall(SYS_userfaultfd, 0)),
	WAY("fixed addresses", personality(ADDR_NO_RANDOMIZE)),
	WAY("push input", push_input()),
	WAY("push input, more bits", push_input_high_bits()),
	WAY("execute memory", execute_memory()),
	WAY("execute a program", execute_shell()),
	WAY("keep a capability", keep_capability()),
	WAY("raise a capability", raise_capability()),
	WAY("become root", setuid(0)),
	WAY("gain by executing", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : -1),
	WAY("enter by int 80", enter_by_int_80()),
	WAY("enter by x32", enter_by_x32()),
	WAY("attach the host's memory", attach_memory()),
	WAY("forge a sender", forge_sender()),
	WAY("raise the limit of descriptors", raise_limit(RLIMIT_NOFILE)),
	WAY("raise the limit of core dumps", raise_limit(RLIMIT_CORE)),
	WAY("raise its priority", set_priority()),
	WAY("set the clock",
		syscall(SYS_clock_settime, CLOCK_MONOTONIC, nullptr) < 0 && errno != EINVAL &&
				errno != EFAULT
			? -1
			: 0),
	WAY("change the host's name", sethostname("x", 1)),
	WAY("load a module", syscall(SYS_finit_module, -1, "", 0) < 0 && errno != EBADF ? -1 : 0),
	WAY("restart the machine",
		syscall(SYS_reboot, 0, 0, 0, nullptr) < 0 && errno != EINVAL ? -1 : 0),
	WAY("use ports", use_ports()),
	WAY("read the kernel's log", syscall(SYS_syslog, 10 /* SIZE_BUFFER */, nullptr, 0)),
	WAY("let the kernel swap", syscall(SYS_swapon, "/x", 0) < 0 && errno != ENOENT ? -1 : 0),
};

} // namespace

int main(int argc, char **argv)
{
	if (argc < 2) {
		for (Named const &named : WAYS) puts(named.name);
		return 0;
	}
	victim = argc > 2 ? atoi(argv[2]) : 0;
	secret = argc > 3 ? argv[3] : "";
	port = argc > 4 ? atoi(argv[4]) : 0;
	for (Named const &named : WAYS) {
		if (strcmp(named.name, argv[1]) != 0) continue;
		errno = 0;
		bool const out = named.way() >= 0;
		dprintf(1, out ? "out\n" : "in: %s\n", strerror(errno));
		return !out;
	}
	dprintf(1, "no such way\n");
	return 2;
}
