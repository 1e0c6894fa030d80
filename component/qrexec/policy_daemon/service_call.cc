#include "component/qrexec/policy_daemon/service_call.h"

#include "rpc/policy/token.h"
#include "rpc/qrexec/name.h"
#include "sdk/qrexec/local_socket.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vector>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

class Children::Child final : private linux_host::Loop::Source
{
private:
	Children &_children;
	pid_t const _process;
	Owned_fd _descriptor{};
	bool _reaped = false;

	void ready(uint32_t) override
	{
		int status = 0;
		if (waitpid(_process, &status, WNOHANG) != _process) return;
		_reaped = true;
		Parent *const told = parent;
		Children &children = _children;
		std::erase_if(
			children._children, [this](auto const &child) { return child.get() == this; });
		if (told) told->exited(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	}

public:
	Parent *parent;

	Child(Children &children, pid_t process, Parent &p)
		: _children(children), _process(process), parent(&p)
	{}

	~Child()
	{
		if (linux_host::Loop *const in = loop()) in->remove(*this);
		if (_reaped) return;
		kill(_process, SIGKILL);
		waitpid(_process, nullptr, 0);
	}

	bool watch(linux_host::Loop &loop)
	{
		_descriptor.reset(static_cast<int>(syscall(SYS_pidfd_open, _process, 0)));
		return _descriptor && loop.add(*this, _descriptor.value(), EPOLLIN).ok();
	}

	void stop()
	{
		parent = nullptr;
		kill(_process, SIGKILL);
	}
};

Children::Children(linux_host::Loop &loop) : _loop(loop), _children() {}

Children::~Children() = default;

bool Children::start(std::string const &program, std::initializer_list<std::string> arguments,
	int stream, Parent &parent)
{
	std::vector<char *> words{const_cast<char *>(program.c_str())};
	for (std::string const &argument : arguments)
		words.push_back(const_cast<char *>(argument.c_str()));
	words.push_back(nullptr);
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, stream, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, stream, STDOUT_FILENO);
	posix_spawnattr_t attributes;
	posix_spawnattr_init(&attributes);
	sigset_t signals;
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	pid_t process = -1;
	int const error =
		posix_spawn(&process, program.c_str(), &files, &attributes, words.data(), environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (error) {
		errno = error;
		return false;
	}
	auto child = std::make_unique<Child>(*this, process, parent);
	if (!child->watch(_loop)) return false;
	_children.push_back(std::move(child));
	return true;
}

void Children::abandon(Parent &parent)
{
	for (auto const &child : _children)
		if (child->parent == &parent) child->stop();
}

Service_call::Service_call(linux_host::Loop &loop, Children &children, Finished &finished)
	: _loop(loop), _children(children), _finished(finished)
{}

Service_call::~Service_call()
{
	_loop.remove(*this);
	if (_child) _children.abandon(*this);
}

std::string Service_call::_connect(
	Ways const &ways, std::string_view gui_domain, std::string_view service)
{
	if (gui_domain == policy::ADMIN_NAME) {
		std::string const path = ways.services + '/' + std::string(service);
		int const error = connect_to_local(path, _socket);
		_to_send = std::string(service) + " dom0 name dom0" + '\0';
		return _socket ? "" : path + ": " + strerror(error);
	}
	if (!clean(gui_domain, "") || gui_domain.starts_with('-'))
		return "the GUI domain has no name that can be called";
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return strerror(errno);
	_socket.reset(ends[0]);
	Owned_fd const theirs(ends[1]);
	_child = _children.start(ways.client,
		{"-d", std::string(gui_domain), "DEFAULT:QUBESRPC " + std::string(service) + " dom0"},
		theirs.value(), *this);
	return _child ? "" : ways.client + ": " + strerror(errno);
}

std::string Service_call::start(
	Ways const &ways, std::string_view gui_domain, std::string_view service, std::string json)
{
	std::string trouble = _connect(ways, gui_domain, service);
	if (!trouble.empty()) return trouble;
	_to_send += json;
	if (!_loop.add(*this, _socket.value(), EPOLLIN | EPOLLOUT).ok()) return "out of resources";
	return {};
}

/* False if nobody listens any more; an answer may be there nevertheless. */
bool Service_call::_send()
{
	std::string_view const rest = std::string_view(_to_send).substr(_sent);
	ssize_t const sent =
		::send(_socket.value(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return true;
	if (sent > 0) _sent += static_cast<size_t>(sent);
	if (sent >= 0 && _sent < _to_send.size()) return true;
	_sent = _to_send.size();
	shutdown(_socket.value(), SHUT_WR);
	return _loop.change(*this, EPOLLIN).ok();
}

/* False once the answer has ended. */
bool Service_call::_receive()
{
	char part[ANSWER_MAX];
	ssize_t const size = recv(_socket.value(), part, sizeof(part), MSG_DONTWAIT);
	if (size < 0) return errno == EAGAIN || errno == EINTR;
	_received.append(part, static_cast<size_t>(size));
	return size > 0 && _received.size() <= ANSWER_MAX;
}

void Service_call::ready(uint32_t events)
{
	if (_sent < _to_send.size() && !_send()) return _finish("out of resources");
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || _receive()) return;
	if (_received.size() > ANSWER_MAX) return _finish("the answer is too long");
	_loop.remove(*this);
	_ended = true;
	if (!_child) _finish(_code ? "the call has failed" : "");
}

void Service_call::exited(int code)
{
	_child = false;
	_code = code;
	// What it has written is read first.
	if (_ended) _finish(_code ? "the call has failed" : "");
}

void Service_call::_finish(std::string const &trouble)
{
	_loop.remove(*this);
	std::string const answer = std::move(_received);
	_finished.call_finished(answer, trouble);
}

} // namespace bulkhead::qrexec
