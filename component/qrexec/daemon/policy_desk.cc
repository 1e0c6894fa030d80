#include "component/qrexec/daemon/policy_desk.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "sdk/qrexec/local_socket.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

// After which to try again to connect: nothing tells when the policy daemon's queue has a place.
constexpr long PAUSE_NS = 2'000'000;

bool nobody_there(int number) { return number == ENOENT || number == ECONNREFUSED; }

} // namespace

void Policy_desk::_pause()
{
	if (!_timer) {
		_timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
		if (!_timer || !_loop.add(*this, _timer.value(), EPOLLIN).ok()) return;
	}
	itimerspec time{};
	time.it_value.tv_nsec = PAUSE_NS;
	timerfd_settime(_timer.value(), 0, &time, nullptr);
}

void Policy_desk::ready(uint32_t)
{
	uint64_t count = 0;
	(void)!read(_timer.value(), &count, sizeof(count));
	_next_connection();
}

void Policy_desk::_next_connection()
{
	while (!_for_connection.empty() && _connections < CONNECTIONS_MAX) {
		Policy_inquiry &question = *_for_connection.front();
		question._leave_queue();
		if (!question._connect()) return;
	}
}

void Policy_desk::_next_program()
{
	while (!_for_program.empty() && _programs.size() < PROGRAMS_MAX) {
		Policy_inquiry &question = *_for_program.front();
		question._leave_queue();
		question._use_program();
	}
}

void Policy_desk::child_ended(pid_t process, int status)
{
	auto const program = _programs.find(process);
	if (program == _programs.end()) return;
	Policy_inquiry *const question = program->second;
	_programs.erase(program);
	if (question) question->_program_ended(status);
	_next_program();
}

Policy_inquiry::~Policy_inquiry()
{
	_leave_queue();
	if (auto const program = _desk._programs.find(_process); program != _desk._programs.end())
		program->second = nullptr;
	_close();
}

// Closes what it has, and lets another question have the place.
void Policy_inquiry::_close()
{
	_desk._loop.remove(*this);
	_fd.reset();
	if (!std::exchange(_counted, false)) return;
	--_desk._connections;
	if (!_desk._for_connection.empty()) _desk._pause();
}

void Policy_inquiry::_wait_in(std::list<Policy_inquiry *> &queue, bool first)
{
	_state = State::WAITING;
	_queue = &queue;
	queue.insert(first ? queue.begin() : queue.end(), this);
}

void Policy_inquiry::_leave_queue()
{
	if (_queue) _queue->remove(this);
	_queue = nullptr;
}

void Policy_inquiry::ask()
{
	bool const turn = _desk._for_connection.empty();
	if (!turn || _desk._connections >= Policy_desk::CONNECTIONS_MAX)
		_wait_in(_desk._for_connection);
	else
		(void)_connect();
}

// False: not now, and nobody else either.
bool Policy_inquiry::_connect()
{
	int const error = connect_to_local(_desk._settings.policy_socket, _fd);
	if (error == EAGAIN || error == EMFILE || error == ENFILE) {
		_wait_in(_desk._for_connection, true);
		_desk._pause();
		return false;
	}
	if (error != 0)
		_wants_program(nobody_there(error) ? std::string() : errno_text(error));
	else if (!_begin_question())
		_wants_program("the question can't be asked");
	return true;
}

bool Policy_inquiry::_begin_question()
{
	_state = State::SOCKET;
	_counted = true;
	++_desk._connections;
	_to_send.resize(_request.service.size() + POLICY_ANSWER_MAX);
	size_t const size = write_policy_question({.source = _request.source,
												  .requested_source = _request.requested_source,
												  .intended_target = _request.target,
												  .service_and_argument = _request.service},
		_to_send);
	_to_send.resize(size);
	return size != 0 && _send() &&
		_desk._loop.add(*this, _fd.value(), EPOLLIN | (_to_send.empty() ? 0U : uint32_t{EPOLLOUT}))
			.ok();
}

// False: the other side takes no more.
bool Policy_inquiry::_send()
{
	while (!_to_send.empty()) {
		ssize_t const n =
			send(_fd.value(), _to_send.data(), _to_send.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return errno == EAGAIN;
		_to_send.erase(0, static_cast<size_t>(n));
	}
	return true;
}

void Policy_inquiry::ready(uint32_t events)
{
	if (_state == State::SOCKET && events & EPOLLOUT) {
		if (!_send()) return _socket_ended();
		if (_to_send.empty()) (void)_desk._loop.change(*this, EPOLLIN);
	}
	if (events & ~uint32_t{EPOLLOUT}) _receive();
}

void Policy_inquiry::_receive()
{
	std::array<char, POLICY_ANSWER_MAX + 1> buffer;
	ssize_t const n = read(_fd.value(), buffer.data(), buffer.size());
	if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
	// Beyond what an answer may have nothing is kept, but a program is read to its end.
	if (n > 0 && _received.size() <= POLICY_ANSWER_MAX)
		_received.append(buffer.data(), static_cast<size_t>(n));
	if (n > 0 && (_state == State::PROGRAM || _received.size() <= POLICY_ANSWER_MAX)) return;
	if (_state == State::SOCKET) return _socket_ended();
	// The program tells the rest by its exit code.
	_desk._loop.remove(*this);
}

void Policy_inquiry::_socket_ended()
{
	_close();
	if (_take_answer("the policy daemon")) return;
	_received.clear();
	_wants_program("the policy daemon gave no answer");
}

void Policy_inquiry::_wants_program(std::string_view why)
{
	_close();
	if (!why.empty())
		log("policy daemon on ", _desk._settings.policy_socket, ": ", why, "; asking ",
			_desk._settings.policy_program);
	// It knows no relays, and would decide about the relay itself.
	if (!_request.requested_source.empty())
		return _refuse("only the policy daemon knows RemoteVMs, and it isn't there");
	if (_desk._programs.size() >= Policy_desk::PROGRAMS_MAX)
		_wait_in(_desk._for_program);
	else
		_use_program();
}

void Policy_inquiry::_use_program()
{
	std::array<int, 2> ends{};
	if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0)
		return _refuse("no pipe for the policy program");
	linux_host::Owned_fd const output{ends[1]};
	_fd.reset(ends[0]);
	_state = State::PROGRAM;
	if (!_desk._loop.add(*this, _fd.value(), EPOLLIN).ok())
		return _refuse("the policy program can't be heard");
	if (!_start_program(output.value()))
		return _refuse("the policy program " + _desk._settings.policy_program +
			" can't be started: " + errno_text(errno));
	_desk._programs[_process] = this;
}

bool Policy_inquiry::_start_program(int output)
{
	// It gets a pipe that blocks, as programs expect.
	(void)fcntl(output, F_SETFL, 0);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	sigset_t none, pipe_signal;
	sigemptyset(&none);
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	std::array<char const *, 6> const arguments{"qrexec-policy-exec", "--", _request.source.c_str(),
		_request.target.c_str(), _request.service.c_str(), nullptr};
	int const error = posix_spawn(&_process, _desk._settings.policy_program.c_str(), &actions,
		&attributes, const_cast<char **>(arguments.data()), environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (error != 0) _process = -1;
	errno = error;
	return error == 0;
}

void Policy_inquiry::_program_ended(int status)
{
	_process = -1;
	// All that it has written is there; a child of its own may have the pipe and keep it open.
	while (_fd && _received.size() <= POLICY_ANSWER_MAX) {
		std::array<char, POLICY_ANSWER_MAX> buffer;
		ssize_t const n = read(_fd.value(), buffer.data(), buffer.size());
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		_received.append(buffer.data(), static_cast<size_t>(n));
	}
	_close();
	if (status != 0) return _refuse({});
	if (!_take_answer("the policy program")) _refuse("the policy program gave no answer");
}

// Trouble is a refusal, with a line in the log.
void Policy_inquiry::_refuse(std::string_view why)
{
	_close();
	if (!why.empty())
		log("call of ", _request.service, " from ", _request.source, " to ", _request.target,
			" is refused: ", why);
	_state = State::ANSWERED;
	_asker.policy_says({});
}

// False if there is none that makes sense.
bool Policy_inquiry::_take_answer(std::string_view from)
{
	if (_received.empty() || _received.size() > POLICY_ANSWER_MAX) return false;
	auto const answer = parse_policy_answer(_received);
	if (!answer.ok()) {
		log(from, " has given an answer that makes no sense: ", name_of(answer.error()));
		return false;
	}
	_state = State::ANSWERED;
	_asker.policy_says(answer.value());
	return true;
}

} // namespace bulkhead::qrexec
