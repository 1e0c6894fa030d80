#include "component/qrexec/agent/programs.h"

#include "component/qrexec/host/log.h"
#include "platform/linux/gate.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

constexpr std::string_view IDENT = "SOCKET";

// What a program that was refused may go on sending, so that it sees an end and no error.
constexpr size_t DROPPED_MAX = 2 * COMMAND_MAX;

// Hang-ups are told with whatever is asked for, and this never comes of itself.
constexpr uint32_t ONLY_ITS_END = EPOLLPRI;

uid_t user_of(Owned_fd const &socket)
{
	ucred peer{};
	socklen_t size = sizeof(peer);
	bool const known = getsockopt(socket.value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
	return known ? peer.uid : static_cast<uid_t>(-1);
}

} // namespace

Ident Programs::ident_of(uint64_t number)
{
	Ident ident;
	bool const fits = ident.append(IDENT, number).ok();
	BULKHEAD_ASSERT(fits);
	return ident;
}

std::optional<uint64_t> Programs::number_of(std::string_view ident)
{
	if (!ident.starts_with(IDENT)) return {};
	std::string_view const digits = ident.substr(IDENT.size());
	uint64_t number = 0;
	auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
	bool const whole = error == std::errc{} && end == digits.data() + digits.size();
	return whole && digits.front() != '0' ? std::optional(number) : std::nullopt;
}

Programs::Program::Program(Programs &programs, uint64_t number, Owned_fd socket, uid_t user)
	: _programs(programs),
	  _number(number),
	  _socket(std::move(socket)),
	  _user(user),
	  _reading(std::make_unique<Reading>())
{
	++_programs._of_user[_user];
}

Programs::Program::~Program()
{
	_programs._loop.remove(*this);
	auto const of_user = _programs._of_user.find(_user);
	if (--of_user->second == 0) _programs._of_user.erase(of_user);
}

Attempt<void> Programs::Program::watch()
{
	return _programs._loop.add(*this, _socket.value(), EPOLLIN);
}

// Nothing may be done with this after something that can remove it.
void Programs::Program::ready(uint32_t events)
{
	switch (_state) {
	case State::READING: return _read();
	case State::ASKING: return _programs._remove(*this);
	case State::CALLING: {
		// It has no more to say, and if it does, that ends its call as well.
		Programs &programs = _programs;
		Exec_params const call = _call;
		uint64_t const daemon = _daemon;
		programs._remove(*this);
		return programs._events.program_ended(call, daemon);
	}
	case State::REFUSED:
		if (events & EPOLLIN) return _drop();
		return _programs._remove(*this);
	}
}

void Programs::Program::_read()
{
	std::array<uint8_t, CONTROL_RING_BYTES> bytes;
	ssize_t const size = recv(_socket.value(), bytes.data(), bytes.size(), MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (size <= 0) return _programs._remove(*this);
	Bytes const got = std::span(bytes).first(static_cast<size_t>(size));
	if (!_take(got)) return;
	static_cast<void>(_programs._loop.change(*this, ONLY_ITS_END));
	_programs._events.asked(_number);
}

// True: that was the question.
bool Programs::Program::_take(Bytes bytes)
{
	auto const message = _reading->reader.read(bytes);
	if (!message.ok()) {
		if (message.error() == Stream_fault::TOO_LONG)
			log("a call is refused: its service's name is too long for a control message, which "
				"takes ",
				SERVICE_NAME_MAX, " bytes");
		else
			log("a program's request is refused: ", name_of(message.error()),
				"; is it of an older version?");
		refuse();
		return false;
	}
	if (!message.value()) return false;
	_type = message.value()->type;
	if (!decode_trigger(_type, message.value()->body)) {
		log("a program's request is refused: a name has no end, or there is no service");
		refuse();
		return false;
	}
	Bytes const body = message.value()->body;
	_body.assign(reinterpret_cast<char const *>(body.data()), body.size());
	_reading.reset();
	_state = State::ASKING;
	return true;
}

Trigger Programs::Program::question() const
{
	Bytes const body{reinterpret_cast<uint8_t const *>(_body.data()), _body.size()};
	return *decode_trigger(_type, body);
}

bool Programs::Program::accept(
	Exec_params call, uint64_t daemon, linux_host::Channel_end const *end)
{
	_body = {};
	std::array<uint8_t, Exec_params::BYTES> answer{};
	encode(call, answer);
	Bytes const message = answer;
	std::array<int, 3> descriptors{-1, -1, -1};
	if (end) descriptors = {end->memory.value(), end->bell.out(), end->bell.in()};
	auto const sent = linux_host::send_with_descriptors(
		_socket.value(), {&message, 1}, std::span(descriptors).first(end ? descriptors.size() : 0));
	// If it has gone, its end follows.
	if (!sent.ok() && sent.error() != Error::BROKEN_PIPE) {
		log("a program can't be told of its call: ", name_of(sent.error()));
		refuse();
		return false;
	}
	_state = State::CALLING;
	_call = call;
	_daemon = daemon;
	static_cast<void>(_programs._loop.change(*this, EPOLLIN | EPOLLRDHUP));
	return true;
}

void Programs::Program::refuse()
{
	_state = State::REFUSED;
	_reading.reset();
	_body = {};
	shutdown(_socket.value(), SHUT_WR);
	static_cast<void>(_programs._loop.change(*this, EPOLLIN));
}

// What lies unread when a socket is closed would be an error to the other side.
void Programs::Program::_drop()
{
	std::array<uint8_t, CONTROL_RING_BYTES> bytes;
	ssize_t const size = recv(_socket.value(), bytes.data(), bytes.size(), MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (size > 0) _dropped += static_cast<size_t>(size);
	if (size <= 0 || _dropped > DROPPED_MAX) _programs._remove(*this);
}

void Programs::add(Owned_fd socket)
{
	uid_t const user = user_of(socket);
	if (!_room_for(user)) {
		log("a request of a program of user ", user, " is refused: there are ", _programs.size(),
			" calls already");
		return;
	}
	uint64_t const number = ++_last;
	auto program = std::make_unique<Program>(*this, number, std::move(socket), user);
	Attempt<void> const watched = program->watch();
	if (!watched.ok()) return log("a program's request is refused: ", name_of(watched.error()));
	_programs.emplace(number, std::move(program));
}

// Those who haven't asked yet, or were refused and don't leave, have to go for others: first those
// of the same user. Nobody can take the places of all users.
bool Programs::_room_for(uid_t user)
{
	auto const of_user = _of_user.find(user);
	bool const share_left =
		user == geteuid() || of_user == _of_user.end() || of_user->second < _most - _most / 4;
	if (share_left && _programs.size() < _most) return true;
	return _remove_idle(user) || (share_left && _remove_idle({}));
}

// The oldest; of anybody if no user is named. False: there is none.
bool Programs::_remove_idle(std::optional<uid_t> user)
{
	auto const oldest = std::find_if(_programs.begin(), _programs.end(), [&](auto const &each) {
		Program::State const state = each.second->state();
		return (!user || each.second->user() == *user) &&
			(state == Program::State::READING || state == Program::State::REFUSED);
	});
	if (oldest == _programs.end()) return false;
	_programs.erase(oldest);
	return true;
}

void Programs::_remove(Program &program) { _programs.erase(program.number()); }

std::optional<Programs::Question> Programs::question(uint64_t number) const
{
	auto const found = _programs.find(number);
	if (found == _programs.end() || found->second->state() != Program::State::ASKING) return {};
	return Question{found->second->question(), ident_of(number)};
}

void Programs::ask_again()
{
	std::vector<uint64_t> numbers;
	for (auto const &[number, program] : _programs)
		if (program->state() == Program::State::ASKING) numbers.push_back(number);
	for (uint64_t const number : numbers) _events.asked(number);
}

Programs::Program *Programs::_asking(std::string_view ident)
{
	std::optional<uint64_t> const number = number_of(ident);
	if (!number) return nullptr;
	auto const found = _programs.find(*number);
	bool const asks = found != _programs.end() && found->second->state() == Program::State::ASKING;
	return asks ? found->second.get() : nullptr;
}

bool Programs::accept(
	std::string_view ident, Exec_params call, uint64_t daemon, linux_host::Channel_end const *end)
{
	Program *const program = _asking(ident);
	return program && program->accept(call, daemon, end);
}

bool Programs::refuse(std::string_view ident)
{
	Program *const program = _asking(ident);
	if (program) program->refuse();
	return program != nullptr;
}

void Programs::refuse(uint64_t number) { refuse(ident_of(number)); }

} // namespace bulkhead::qrexec
