#include "platform/linux/vchan/directory.h"

#include "platform/linux/vchan/distinct_user.h"
#include "platform/linux/vchan/known_rules.h"
#include "platform/linux/vchan/take_no_descriptors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace {

constexpr char RULES[] = "domains";
constexpr size_t RULES_MAX_BYTES = 64 * 1024;
constexpr size_t FAULTS_SHOWN = 20;
// On a busy machine a crowd takes it again and again before one gets it.
constexpr unsigned LOCK_PATIENCE_MS = 10'000;
constexpr int BACKLOG = 16; // clients and other servers' looks that may wait

std::string environment(char const *name)
{
	char const *const value = secure_getenv(name);
	return value ? value : "";
}

/* As long as the working directory can be told. */
std::string absolute(std::string const &path)
{
	std::array<char, PATH_MAX> working{};
	if (!getcwd(working.data(), working.size())) return path;
	return std::string(working.data()) + '/' + path;
}

std::string user_text(uid_t user) { return "user " + std::to_string(user); }

std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

sockaddr_un address_of(std::string const &path)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	path.copy(address.sun_path, sizeof(address.sun_path) - 1);
	return address;
}

Connect_error of_errno(int number)
{
	switch (number) {
	case EMFILE:
	case ENFILE: return Connect_error::TOO_MANY_OPEN;
	case ENOMEM:
	case ENOBUFS: return Connect_error::OUT_OF_MEMORY;
	case ENOSPC:
	case EDQUOT: return Connect_error::DIRECTORY_FULL;
	case EACCES:
	case EPERM:
	case EROFS: return Connect_error::NOT_ALLOWED;
	default: return Connect_error::SYSTEM;
	}
}

std::string_view remedy_of(int number)
{
	switch (number) {
	case EMFILE: return "; raise this process's limit of open files (ulimit -n)";
	case ENFILE: return "; raise the system's limit of open files (sysctl fs.file-max)";
	case ENOSPC:
	case EDQUOT: return "; make room there, or use another directory (BULKHEAD_VCHAN_DIR)";
	case EACCES:
	case EPERM: return "; ask its owner for the right, or use another (BULKHEAD_VCHAN_DIR)";
	// A name was looked up by a descriptor, which can't go away.
	case ENOENT: return "; is /proc mounted?";
	default: return "";
	}
}

/* Whether somebody besides the owner and root can replace what is in a directory. */
bool others_replace(struct stat const &directory)
{
	return (directory.st_mode & (S_IWGRP | S_IWOTH)) && !(directory.st_mode & S_ISVTX);
}

bool trusted(uid_t owner) { return owner == 0 || (owner == geteuid() && distinct_user(owner)); }

void sleep_us(unsigned us)
{
	timespec const time{.tv_sec = 0, .tv_nsec = us * 1000L};
	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

uint64_t now_ms()
{
	timespec now{};
	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000 +
		static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

Owned_fd unix_socket()
{
	return Owned_fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

/* Fills a text from a file, up to a limit; false if reading fails. */
bool read_up_to(int fd, std::string &text, size_t limit)
{
	text.resize(limit);
	size_t size = 0;
	while (size < limit) {
		ssize_t const n = ::read(fd, text.data() + size, limit - size);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return false;
		if (n == 0) break;
		size += static_cast<size_t>(n);
	}
	text.resize(size);
	return true;
}

} // namespace

std::string Channel_name::file() const
{
	return "vchan." + std::to_string(server) + '.' + std::to_string(client) + '.' +
		std::to_string(port) + ".sock";
}

Directory::Lock::~Lock()
{
	// A child that was forked meanwhile has the descriptor, too.
	if (_fd) flock(_fd.value(), LOCK_UN);
}

Connect_error Directory::_fail(Connect_error error, std::string text)
{
	_message = std::move(text);
	return error;
}

Connect_error Directory::_fail(std::string_view call, int number)
{
	std::string text = _path;
	text.append(": ").append(call).append(": ").append(strerror(number)).append(remedy_of(number));
	return _fail(of_errno(number), std::move(text));
}

Connect_error Directory::_fail_name(
	Channel_name const &name, Connect_error error, std::string const &text)
{
	return _fail(error, _path + '/' + name.file() + ": " + text);
}

std::string Directory::default_path()
{
	if (std::string path = environment("BULKHEAD_VCHAN_DIR"); !path.empty()) return path;
	std::string runtime = environment("XDG_RUNTIME_DIR");
	// The specification of this variable has relative paths ignored.
	if (!runtime.starts_with('/')) runtime = "/run";
	return runtime + "/bulkhead/vchan";
}

/* Makes the last two folders of the default path; where they go must be safe from others, too. */
Attempt<void, Connect_error> Directory::_make_default()
{
	std::string const above = _path.substr(0, _path.rfind('/'));
	for (std::string const &path : {above, _path}) {
		std::string const parent = path.substr(0, path.rfind('/'));
		struct stat status{};
		if (stat(parent.c_str(), &status) != 0) return _fail_open(errno);
		if (!trusted(status.st_uid) || others_replace(status))
			return _fail(Connect_error::UNSAFE_DIRECTORY,
				parent + " belongs to " + user_text(status.st_uid) +
					" or can be written to by others, who could replace " + path +
					"; name a safe directory with BULKHEAD_VCHAN_DIR");
		if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return _fail_open(errno);
	}
	return Ok{};
}

Connect_error Directory::_fail_open(int number)
{
	switch (number) {
	case ENOENT:
	case EACCES:
	case EPERM:
	case EROFS:
		return _fail(number == ENOENT ? Connect_error::NO_DIRECTORY : Connect_error::NOT_ALLOWED,
			_path + ": " + strerror(number) + "; make it, for " + user_text(geteuid()) +
				" alone with mkdir -m 700, for several users as root with mkdir -m 1777, or name"
				" another with BULKHEAD_VCHAN_DIR");
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
		return _fail(Connect_error::NO_DIRECTORY,
			_path + ": " + strerror(number) + "; name a directory with BULKHEAD_VCHAN_DIR");
	default: return _fail("open", number);
	}
}

Access_rules const &Directory::rules() const
{
	static Access_rules const none;
	return _rules ? *_rules : none;
}

Attempt<void, Connect_error> Directory::open(std::string path)
{
	_fd.reset();
	_rules = nullptr;
	auto const usual = [&] {
		return path == default_path() && environment("BULKHEAD_VCHAN_DIR").empty();
	};
	_path = path.starts_with('/') || path.empty() ? path : absolute(path);
	// For reading, as neither a lock nor a watch is to be had otherwise.
	constexpr int FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	Owned_fd fd{::open(_path.c_str(), FLAGS)};
	if (!fd && errno == ENOENT && usual()) {
		TRY(_make_default());
		fd.reset(::open(_path.c_str(), FLAGS));
	}
	if (!fd) return _fail_open(errno);
	struct stat status{};
	if (fstat(fd.value(), &status) != 0) return _fail("fstat", errno);
	_fd = std::move(fd);
	Attempt<void, Connect_error> checked = _check_safe(status);
	if (checked.ok()) checked = _read_rules(status);
	if (!checked.ok()) _fd.reset();
	return checked;
}

Attempt<void, Connect_error> Directory::_check_safe(struct stat const &status)
{
	if (!trusted(status.st_uid))
		return _fail(Connect_error::UNSAFE_DIRECTORY,
			_path + " belongs to " + user_text(status.st_uid) +
				", who could replace what is in it;" +
				" use one of root's or your own (BULKHEAD_VCHAN_DIR)");
	if (others_replace(status))
		return _fail(Connect_error::UNSAFE_DIRECTORY,
			_path + " of " + user_text(status.st_uid) +
				" can be written to by others, who could replace what is in it; chmod go-w it, or"
				" chmod +t it if others are to have servers there");
	return Ok{};
}

/* The text of the access rules, and the state of their file; none if there is no such file. */
Attempt<std::optional<std::string>, Connect_error> Directory::_rules_text(
	struct stat const &directory, struct stat &own)
{
	auto const bad = [&](std::string const &text) {
		return _fail(Connect_error::BAD_RULES, _path + '/' + RULES + ' ' + text);
	};
	Owned_fd const file{openat(_fd.value(), RULES, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
	if (!file) {
		if (errno == ENOENT) return std::nullopt;
		if (errno == ELOOP) return bad("is a symbolic link; put the file itself there");
		if (of_errno(errno) == Connect_error::TOO_MANY_OPEN) return _fail(RULES, errno);
		return bad("can't be opened: " + std::string(strerror(errno)) + "; " +
			user_text(geteuid()) + " has to be able to read it");
	}
	if (fstat(file.value(), &own) != 0) return _fail("fstat", errno);
	if (!S_ISREG(own.st_mode)) return bad("is no regular file; put a text file there");
	if (own.st_uid != 0 && own.st_uid != directory.st_uid)
		return bad("belongs to " + user_text(own.st_uid) + "; it must be root's, or that of the" +
			" directory's owner, " + user_text(directory.st_uid) + ": remove or chown it");
	if (own.st_mode & (S_IWGRP | S_IWOTH)) return bad("can be written to by others; chmod go-w it");
	// Where anybody may make files, anybody may give another file of root's this name.
	if (own.st_nlink > 1) return bad("is a hard link to a file elsewhere; put a copy there");
	std::string text;
	if (!read_up_to(file.value(), text, RULES_MAX_BYTES + 1))
		return bad("can't be read: " + std::string(strerror(errno)));
	if (text.size() > RULES_MAX_BYTES)
		return bad("is longer than 64 KiB; use a directory for fewer domains");
	return std::optional(std::move(text));
}

Attempt<void, Connect_error> Directory::_read_rules(struct stat const &directory)
{
	struct stat file{};
	if (fstatat(_fd.value(), RULES, &file, AT_SYMLINK_NOFOLLOW) == 0) {
		if (auto known = known_rules({directory, file})) {
			_rules = std::move(known);
			return Ok{};
		}
	} else if (errno == ENOENT) {
		return Ok{};
	}
	// The file is closed before users are looked up, which takes descriptors.
	std::optional<std::string> const given = TRY(_rules_text(directory, file));
	if (!given) return Ok{};
	Rules_origin const origin(directory, file);
	bool const lasting = !origin.recent();
	auto rules = std::make_shared<Access_rules>();
	auto const faults = rules->read(*given);
	_rules = rules;
	if (faults.empty() && lasting) remember_rules(origin, std::move(rules));
	if (faults.empty()) return Ok{};
	std::string text;
	for (auto const &fault : faults) {
		if (&fault - faults.data() == FAULTS_SHOWN) {
			text += "\nand " + std::to_string(faults.size() - FAULTS_SHOWN) + " more";
			break;
		}
		if (!text.empty()) text += '\n';
		text += _path + '/' + RULES + ':' + std::to_string(fault.line) + ": " + fault.text;
	}
	return _fail(Connect_error::BAD_RULES, std::move(text));
}

/* Whether who looks for the directory by its name finds this one. */
Attempt<void, Connect_error> Directory::_still_there()
{
	struct stat own{}, named{};
	if (fstat(_fd.value(), &own) != 0) return _fail("fstat", errno);
	bool const found = stat(_path.c_str(), &named) == 0;
	if (!found && errno != ENOENT && errno != ENOTDIR) return Ok{}; // can't be told
	if (found && named.st_dev == own.st_dev && named.st_ino == own.st_ino) return Ok{};
	return _fail(Connect_error::NO_DIRECTORY,
		_path + " has been removed or replaced since it was opened; start again");
}

/*
 * Each lock has an open file of its own: one that a child shares since a fork would not keep the
 * two apart.
 */
Attempt<Directory::Lock, Connect_error> Directory::_lock(unsigned patience_ms)
{
	Owned_fd fd{openat(_fd.value(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (!fd) return _fail("open", errno);
	uint64_t const until_ms = now_ms() + patience_ms;
	for (unsigned pause_us = 50; flock(fd.value(), LOCK_EX | LOCK_NB) != 0;
		pause_us = std::min(2 * pause_us, 5000U)) {
		if (errno == EINTR) continue;
		if (errno != EWOULDBLOCK) return _fail("flock", errno);
		if (now_ms() >= until_ms)
			return _fail(Connect_error::LOCKED,
				_path +
					" is locked by another process; find it with fuser, and end it if it hangs");
		sleep_us(pause_us);
	}
	return Lock{std::move(fd)};
}

/* Connects to what a name stands for, by its inode: a symbolic link leads nowhere. */
Attempt<Directory::Visit, Connect_error> Directory::_visit(std::string const &file)
{
	Owned_fd const name{openat(_fd.value(), file.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
	if (!name && errno == ENOENT) return Visit{Found::NOTHING, 0, {}};
	if (!name) return _fail(file, errno);
	struct stat status{};
	if (fstat(name.value(), &status) != 0) return _fail("fstat", errno);
	uid_t const owner = status.st_uid;
	if (!S_ISSOCK(status.st_mode)) return Visit{Found::NO_SOCKET, owner, {}};
	Owned_fd socket = unix_socket();
	if (!socket) return _fail("socket", errno);
	sockaddr_un const address = address_of(proc_path(name.value()));
	auto const *const generic = reinterpret_cast<sockaddr const *>(&address);
	if (::connect(socket.value(), generic, sizeof(address)) == 0)
		return Visit{Found::SERVER, owner, std::move(socket)};
	switch (errno) {
	case EAGAIN: return Visit{Found::CROWDED_SERVER, owner, {}};
	case EPROTOTYPE: return Visit{Found::OTHER_PROTOCOL, owner, {}};
	case ECONNREFUSED: return Visit{Found::LEFT_BEHIND, owner, {}};
	case EACCES:
	case EPERM: return Visit{Found::NOT_OURS, owner, {}};
	default: return _fail("connect to " + file, errno);
	}
}

/* Leaves the name free for a new server, or says who has it. Under the lock. */
Attempt<void, Connect_error> Directory::_make_way(Channel_name const &name)
{
	std::string const file = name.file();
	Visit const visit = TRY(_visit(file));
	auto const taken = [&](std::string const &text) {
		return _fail_name(name, Connect_error::NAME_IN_USE, text);
	};
	switch (visit.found) {
	case Found::NOTHING: return Ok{};
	case Found::SERVER:
	case Found::CROWDED_SERVER:
		return taken("a server of " + user_text(visit.owner) +
			" waits under this name; end it, or take another port");
	case Found::OTHER_PROTOCOL:
		return taken("a vchan-socket server of " + user_text(visit.owner) +
			" waits under this name; end it, or take another port");
	case Found::NO_SOCKET: return taken("what has this name is no socket; remove it");
	case Found::NOT_OURS:
		return taken(user_text(visit.owner) +
			" has this name, perhaps left by a killed server; end it or remove the name");
	case Found::LEFT_BEHIND: break;
	}
	if (unlinkat(_fd.value(), file.c_str(), 0) == 0 || errno == ENOENT) return Ok{};
	if (errno != EPERM && errno != EACCES) return _fail("remove " + file, errno);
	return taken("left by a killed server of " + user_text(visit.owner) + ", who has to remove it");
}

/*
 * A listening socket under a name that isn't a channel's. One name for each user: whatever has it
 * while we have the lock was left by a process of ours that was killed in here.
 */
Attempt<Listening, Connect_error> Directory::_bind(std::string const &file, mode_t mode)
{
	Listening made{.socket = unix_socket()};
	if (!made.socket) return _fail("socket", errno);
	take_no_descriptors(made.socket.value());
	// The name gets the socket's mode less umask: never more than it shall have.
	if (fchmod(made.socket.value(), mode) != 0) return _fail("fchmod", errno);
	sockaddr_un const address = address_of(proc_path(_fd.value()) + '/' + file);
	auto const *const generic = reinterpret_cast<sockaddr const *>(&address);
	int bound = ::bind(made.socket.value(), generic, sizeof(address));
	if (bound != 0 && errno == EADDRINUSE) {
		if (unlinkat(_fd.value(), file.c_str(), 0) != 0)
			return _fail("remove " + file + ", which is in the way", errno);
		bound = ::bind(made.socket.value(), generic, sizeof(address));
	}
	if (bound != 0) return _fail("bind", errno);
	struct stat status{};
	auto const prepare = [&] {
		if (fstatat(_fd.value(), file.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return false;
		if ((status.st_mode & 0777) != mode && fchmodat(_fd.value(), file.c_str(), mode, 0) != 0)
			return false;
		return ::listen(made.socket.value(), BACKLOG) == 0;
	};
	if (prepare()) {
		made.inode = status.st_ino;
		return made;
	}
	int const number = errno;
	unlinkat(_fd.value(), file.c_str(), 0);
	return _fail("listen", number);
}

Attempt<Listening, Connect_error> Directory::listen(Channel_name const &name)
{
	Lock const lock = TRY(_lock(LOCK_PATIENCE_MS));
	TRY(_still_there());
	std::string const made_as = "." + std::to_string(geteuid()) + ".new";
	Listening made = TRY(_bind(made_as, rules().allows_others(name.client) ? 0666 : 0600));
	// Whoever finds the name can connect to it: it comes when all else is done.
	std::string const file = name.file();
	auto const publish = [&] {
		return renameat2(
				   _fd.value(), made_as.c_str(), _fd.value(), file.c_str(), RENAME_NOREPLACE) == 0;
	};
	if (publish()) return made;
	Attempt<void, Connect_error> way = Ok{};
	int number = errno;
	if (number == EEXIST) {
		way = _make_way(name);
		if (way.ok() && publish()) return made;
		number = errno;
	}
	unlinkat(_fd.value(), made_as.c_str(), 0);
	if (!way.ok()) return way.error();
	if (number == EEXIST)
		return _fail_name(name, Connect_error::NAME_IN_USE,
			"somebody has taken this name without the lock; end it, or take another port");
	return _fail("rename to " + file, number);
}

void Directory::remove(Channel_name const &name, Listening const &listening)
{
	// The socket keeps the inode of its name, so no other can have its number.
	std::string const file = name.file();
	struct stat status{};
	if (!listening.socket ||
		fstatat(_fd.value(), file.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		status.st_ino != listening.inode)
		return;
	unlinkat(_fd.value(), file.c_str(), 0);
}

Attempt<Owned_fd, Connect_error> Directory::connect(Channel_name const &name)
{
	std::string const file = name.file();
	Visit visit = TRY(_visit(file));
	if (visit.found == Found::LEFT_BEHIND) {
		// Who has the lock may be a server that is about to take the name: then it is its business.
		auto const lock = _lock(0);
		if (!lock.ok() && lock.error() != Connect_error::LOCKED) return lock.error();
		if (!lock.ok()) return Owned_fd{};
		visit = TRY(_visit(file));
		if (visit.found == Found::LEFT_BEHIND) unlinkat(_fd.value(), file.c_str(), 0);
	}
	switch (visit.found) {
	case Found::SERVER: return std::move(visit.socket);
	case Found::NOTHING:
	case Found::LEFT_BEHIND: TRY(_still_there()); return Owned_fd{};
	case Found::CROWDED_SERVER:
		return _fail_name(name, Connect_error::CROWDED,
			"too many clients wait for this server at once; try again when it has answered them");
	case Found::OTHER_PROTOCOL:
		return _fail_name(name, Connect_error::PEER_VERSION,
			"a vchan-socket server has this name: BULKHEAD_VCHAN=socket speaks its protocol");
	case Found::NO_SOCKET:
		return _fail_name(
			name, Connect_error::NAME_IN_USE, "what has this name is no socket; remove it");
	case Found::NOT_OURS: break;
	}
	return _fail_name(name, Connect_error::NOT_ALLOWED,
		"this server of " + user_text(visit.owner) + " lets " + user_text(geteuid()) +
			" not connect; list the user for domain " + std::to_string(name.client) + " in " +
			_path + '/' + RULES + ", and start the server again");
}

Connect_error Directory::_fail_watch(Name_watch::Fault const &fault)
{
	std::string_view const call = fault.call;
	if (fault.number == ENOSPC)
		return _fail(Connect_error::TOO_MANY_WATCHES,
			"no more inotify watches for " + user_text(getuid()) +
				"; raise the limit (sysctl fs.inotify.max_user_watches)");
	if (fault.number != EMFILE || call != "inotify_init1") return _fail(call, fault.number);
	// The same number for two limits: if there is another descriptor, it was the other one.
	Owned_fd const another{fcntl(_fd.value(), F_DUPFD_CLOEXEC, 0)};
	if (!another) return _fail(call, fault.number);
	return _fail(Connect_error::TOO_MANY_WATCHES,
		"no more inotify instances for " + user_text(getuid()) +
			"; raise the limit (sysctl fs.inotify.max_user_instances)");
}

Attempt<void, Connect_error> Directory::watch(
	Name_watch &watch, Channel_name const &name, int epoll, uint64_t subject)
{
	std::string const path = proc_path(_fd.value());
	// As we keep it open, its own end would be told after ours only: what contains it knows.
	auto const fault = watch.begin(
		{.directory = path, .parent = path + "/..", .file = name.file()}, epoll, subject);
	if (fault.number != 0) return _fail_watch(fault);
	Attempt<void, Connect_error> const there = _still_there();
	if (!there.ok()) watch.end();
	return there;
}

} // namespace bulkhead::linux_host
