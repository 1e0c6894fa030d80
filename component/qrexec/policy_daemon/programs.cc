#include "component/qrexec/policy_daemon/programs.h"

#include "component/qrexec/host/process.h"
#include "component/qrexec/policy_daemon/journal.h"
#include "component/qrexec/policy_daemon/server.h"
#include "platform/linux/signals.h"
#include "rpc/qrexec/policy_query.h"
#include "sdk/qrexec/local_socket.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace bulkhead::qrexec {

using linux_host::Loop;
using linux_host::Owned_fd;

namespace {

constexpr int FAILURE = 1;
constexpr mode_t SOCKET_MODE = 0660;
constexpr int FIRST_HANDED_OVER = 3;
constexpr size_t DESCRIPTORS = 16384;

class Orders final : public linux_host::Signals
{
private:
	Loop &_loop;
	Office &_office;

	void signalled(int number) override
	{
		if (number == SIGHUP)
			_office.reload();
		else
			_loop.stop();
	}

public:
	Orders(Loop &loop, Office &office) : _loop(loop), _office(office) {}

	Attempt<void> start() { return Signals::start(_loop, {SIGTERM, SIGINT, SIGHUP}); }
};

/* Sockets are for root and this group. */
bool take_group(Log_sink &journal)
{
	umask(007);
	if (getuid() != 0) return true;
	struct group const *const group = getgrnam("qubes");
	if (!group) {
		journal.log(Level::WARNING, "policy: there is no group qubes: only root may ask");
		return true;
	}
	if (setgid(group->gr_gid) == 0) return true;
	journal.log(Level::ERROR, std::string("policy: setgid: ") + strerror(errno));
	return false;
}

std::string_view base_name(std::string_view path)
{
	size_t const slash = path.rfind('/');
	return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

/* A socket that systemd listens on for us, by the last part of its path. */
Owned_fd handed_over(std::string const &path)
{
	char const *const process = getenv("LISTEN_PID");
	char const *const count = getenv("LISTEN_FDS");
	if (!process || !count || atol(process) != getpid()) return {};
	int const end = FIRST_HANDED_OVER + std::min(atoi(count), 16);
	for (int fd = FIRST_HANDED_OVER; fd < end; ++fd) {
		sockaddr_un address{};
		socklen_t size = sizeof(address) - 1;
		if (getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) != 0) continue;
		if (address.sun_family != AF_UNIX || base_name(address.sun_path) != base_name(path))
			continue;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		return Owned_fd(fd);
	}
	return {};
}

std::string why_not_listening(int error)
{
	switch (error) {
	case 0: return "it can't be waited for";
	case EADDRINUSE: return "another policy daemon listens there, or it is no socket";
	case ENOENT: return "there is no such directory; make it, or name another path (--help)";
	default: return errno_text(error);
	}
}

/* Where nobody has asked for a socket there need not be one: `usual` is its path then. */
bool listen_on(Server &server, std::string const &path, Face face, Log_sink &journal,
	std::string_view usual = {})
{
	int error = 0;
	Owned_fd socket = handed_over(path);
	if (!socket) error = listen_locally(path, SOCKET_MODE, socket);
	if (socket && server.listen(std::move(socket), face).ok()) return true;
	bool const optional = error == ENOENT && path == usual;
	journal.log(optional ? Level::WARNING : Level::ERROR,
		"policy: no socket " + path + ": " + why_not_listening(error));
	return optional;
}

/* Takes an answer until its end. */
class Listening final : private Loop::Source
{
private:
	Loop &_loop;
	Owned_fd _socket;

	void ready(uint32_t) override
	{
		char part[POLICY_ANSWER_MAX];
		ssize_t const size = recv(_socket.value(), part, sizeof(part), MSG_DONTWAIT);
		if (size > 0) answer.append(part, static_cast<size_t>(size));
		if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) _loop.stop();
	}

public:
	std::string answer{};

	Listening(Loop &loop, Owned_fd socket) : _loop(loop), _socket(std::move(socket)) {}
	~Listening() { _loop.remove(*this); }

	Attempt<void> start() { return _loop.add(*this, _socket.value(), EPOLLIN); }
};

} // namespace

int run_policy_daemon(Daemon_options options)
{
	Journal journal;
	if (!take_group(journal)) return FAILURE;
	raise_descriptor_limit(DESCRIPTORS);
	// Whoever reads our messages may go.
	signal(SIGPIPE, SIG_IGN);
	Loop loop;
	Office office(loop, journal, std::move(options.office));
	Server server(office);
	Orders orders(loop, office);
	if (!loop.usable().ok() || !orders.start().ok() || !office.start().ok()) {
		journal.log(Level::ERROR,
			"policy: descriptors or inotify instances are used up; raise LimitNOFILE or "
			"fs.inotify.max_user_instances");
		return FAILURE;
	}
	Daemon_options const usual{};
	if (!listen_on(server, options.eval_socket, Face::EVAL_SIMPLE, journal, usual.eval_socket) ||
		!listen_on(server, options.gui_socket, Face::EVAL_GUI, journal, usual.gui_socket) ||
		!listen_on(server, options.socket, Face::DAEMONS, journal))
		return FAILURE;
	(void)notify_ready();
	loop.run();
	return 0;
}

int run_policy_exec(Exec_options options)
{
	System_log journal("qrexec-policy-exec");
	Loop loop;
	Office office(loop, journal, std::move(options.office));
	Server server(office);
	int ends[2];
	std::string question(POLICY_QUESTION_MAX, '\0');
	size_t const size = write_policy_question({.source = options.source,
												  .requested_source = {},
												  .intended_target = options.target,
												  .service_and_argument = options.service,
												  .assume_yes_for_ask = options.assume_yes,
												  .just_evaluate = options.just_evaluate},
		question);
	bool const ready = loop.usable().ok() && office.start().ok() && size > 0 &&
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0;
	if (!ready) {
		fprintf(stderr, "qrexec-policy-exec: %s\n",
			size ? "out of descriptors" : "the names are too long, or have line breaks");
		return FAILURE;
	}
	server.adopt(Owned_fd(ends[0]), Face::DAEMONS);
	// A socket takes more than the longest question at once.
	bool const sent = send(ends[1], question.data(), size, MSG_NOSIGNAL) == ssize_t(size);
	Listening listening(loop, Owned_fd(ends[1]));
	if (!sent || !listening.start().ok()) return FAILURE;
	loop.run();
	printf("%s\n", listening.answer.c_str());
	bool const allowed = listening.answer.starts_with("result=allow") ||
		listening.answer.find("\nresult=allow\n") != std::string::npos;
	return allowed ? 0 : FAILURE;
}

} // namespace bulkhead::qrexec
