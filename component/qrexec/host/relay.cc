#include "component/qrexec/host/relay.h"

#include "component/qrexec/host/process.h"
#include "component/qrexec/host/spawn.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {

using linux_host::Loop;
using linux_host::Owned_fd;

namespace {

constexpr unsigned STEPS = 16; // of at most a chunk each way, before the loop looks elsewhere
constexpr size_t REPLACED_MAX = 16384; // bytes that are copied at a time

// Between two attempts to connect to a socket whose queue is full, which no event tells of.
constexpr long RETRY_FIRST_NS = 1'000'000;
constexpr unsigned RETRIES_MAX = 2000; // about a minute: the service doesn't accept
constexpr unsigned RETRY_GROWTH = 5; // the time doubles so often

} // namespace

class Relay::Inside final : private Loop::Remote
{
private:
	// A descriptor that is watched: tells of changes only (EPOLLET), so that nothing has to be
	// switched off while there is no room.
	struct Watch final : Loop::Source
	{
		using Handler = void (Inside::*)(uint32_t);

		Inside &inside;
		Handler const handler;

		Watch(Inside &i, Handler h) : inside(i), handler(h) {}
		void ready(uint32_t events) override { (inside.*handler)(events); }
	};

	struct Stream_in
	{
		Local_stream local{};
		Stream const stream;
		bool open = false;
		bool ready = true; // a read may succeed
		bool end_owed = false; // the peer doesn't know of the end yet
	};

	struct Stream_out
	{
		Local_stream local{};
		bool open = false;
		bool ready = true; // a write may succeed
		bool watched_for_room = false;
	};

	Loop &_loop;
	Relay &_self;
	std::unique_ptr<Data_channel> _channel;
	Side const _side;
	Relay_options const _options;
	Finished &_finished;

	std::string _prefix;
	std::string const _connect_again;
	bool _connecting;
	unsigned _retries = 0;
	Owned_fd _retry_timer{};

	bool const _socket; // `to` and `from` are one
	bool const _inherited; // standard input and output of this program
	bool _switching = false; // to reading from `to`
	bool _switched = false;
	Stream_out _to{}, _errors_to{};
	Stream_in _from, _errors;

	pid_t _process;
	Owned_fd _pidfd{};
	int _process_code = 0;

	std::optional<int> _failure{}; // SERVICE: nothing is relayed (any more), but this code sent
	std::optional<int32_t> _remote_code{}; // CALLER
	bool _code_sent = false; // SERVICE
	bool _lost = false; // the peer went without an exit code
	bool _broken = false; // and against the protocol
	int _unwritten = 0; // errno
	std::string _message{};

	Watch _watch_channel{*this, &Inside::_channel_changed};
	Watch _watch_to{*this, &Inside::_to_changed};
	Watch _watch_from{*this, &Inside::_from_changed};
	Watch _watch_errors{*this, &Inside::_errors_changed};
	Watch _watch_errors_to{*this, &Inside::_errors_to_changed};
	Watch _watch_process{*this, &Inside::_process_changed};
	Watch _watch_retry{*this, &Inside::_retry};

	void posted() override { _turn(); }

	void _adopt(Owned_fd to, Owned_fd from);
	Attempt<void> _watch_in(Stream_in &, Watch &);
	Attempt<void> _watch_out(Stream_out &, Watch &, uint32_t events);
	Attempt<void> _start_process();
	bool _may_switch() const;
	bool _switch_wanted() const;
	void _switch();

	void _channel_changed(uint32_t) { _turn(); }
	void _to_changed(uint32_t events);
	void _from_changed(uint32_t);
	void _errors_changed(uint32_t);
	void _errors_to_changed(uint32_t events);
	void _process_changed(uint32_t);
	void _retry(uint32_t);

	void _connected(int error);
	void _close_to();
	void _drop(Stream_in &, Watch &);
	void _end(Stream_in &, Watch &);
	void _fail(int code, std::string message);
	void _lose();

	void _wait_for_room(Stream_out &, Watch &);
	ssize_t _put(Stream_out &, Watch &, Bytes, bool replace);
	bool _put_prefix();
	bool _take();
	bool _take_bytes(Data_channel::Incoming const &);
	void _remote_exit(int32_t code);
	bool _give(Stream_in &, Watch &);
	bool _give_end(Stream_in &);
	bool _give_code();
	bool _step();
	void _arm();

	bool _local_done() const;
	bool _over();
	void _tell();
	void _turn();

public:
	Inside(Relay &self, Loop &loop, std::unique_ptr<Data_channel> channel, Side side,
		Local_end &local, Relay_options const &options, Finished &finished);

	Attempt<void> start();
	void use_stdin_for_output();
};

Relay::Inside::Inside(Relay &self, Loop &loop, std::unique_ptr<Data_channel> channel, Side side,
	Local_end &local, Relay_options const &options, Finished &finished)
	: Remote(loop),
	  _loop(loop),
	  _self(self),
	  _channel(std::move(channel)),
	  _side(side),
	  _options(options),
	  _finished(finished),
	  _prefix(std::move(local.prefix)),
	  _connect_again(std::move(local.connect_again)),
	  _connecting(local.connecting || !_connect_again.empty()),
	  _socket(local.socket),
	  _inherited(side == Side::CALLER && local.process < 0 && !local.socket),
	  _from{.stream = side == Side::CALLER ? Stream::IN : Stream::OUT},
	  _errors{.stream = Stream::ERR},
	  _process(options.just_exec ? -1 : local.process),
	  _failure(options.exit_code)
{
	_adopt(std::move(local.to), std::move(local.from));
	_errors.local.adopt(std::move(local.errors), true);
	_errors.open = bool(_errors.local) && !options.just_exec;
	if (side == Side::CALLER && options.errors_to >= 0) {
		// Its number stays free to be used by its owner.
		_errors_to.local.adopt(Owned_fd{::fcntl(options.errors_to, F_DUPFD_CLOEXEC, 3)}, false);
		_errors_to.open = bool(_errors_to.local);
	}
	// A service without a stream of errors says so first, as upstream.
	bool const service = side == Side::SERVICE && !options.just_exec;
	_errors.end_owed = service && options.tells_of_errors && !_errors.open && _process < 0;
	_from.end_owed = service && !_from.open && !_connecting;
}

void Relay::Inside::_adopt(Owned_fd to, Owned_fd from)
{
	_to.local.adopt(std::move(to), false);
	if (_socket && !from) from = _to.local.another();
	_from.local.adopt(std::move(from), true);
	_to.open = bool(_to.local);
	_from.open = bool(_from.local) && !_options.just_exec;
}

// --- Beginning

Attempt<void> Relay::Inside::_watch_in(Stream_in &in, Watch &watch)
{
	if (!in.open || watch.loop()) return Ok{};
	Attempt<void> const added =
		_loop.add(watch, in.local.fd(), EPOLLIN | EPOLLRDHUP | uint32_t{EPOLLET});
	// Files, directories, /dev/null: always ready.
	if (!added.ok() && added.error() != Error::NOT_SUPPORTED && added.error() != Error::DENIED)
		return added;
	return Ok{};
}

Attempt<void> Relay::Inside::_watch_out(Stream_out &out, Watch &watch, uint32_t events)
{
	if (!out.open) return Ok{};
	Attempt<void> const added = watch.loop()
		? _loop.change(watch, events | uint32_t{EPOLLET})
		: _loop.add(watch, out.local.fd(), events | uint32_t{EPOLLET});
	if (!added.ok() && added.error() != Error::NOT_SUPPORTED && added.error() != Error::DENIED)
		return added;
	return Ok{};
}

Attempt<void> Relay::Inside::_start_process()
{
	if (_process < 0) return Ok{};
	_pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, _process, 0)));
	if (_pidfd) return _loop.add(_watch_process, _pidfd.value(), EPOLLIN);
	if (errno == EMFILE || errno == ENFILE) return Error::TOO_MANY_OPEN;
	return Error::GONE;
}

Attempt<void> Relay::Inside::start()
{
	TRY(_loop.add(_watch_channel, _channel->fd(), EPOLLIN));
	TRY(_start_process());
	if (_connecting) {
		// A unix socket has nothing to tell before it is connected.
		if (_connect_again.empty())
			TRY(_watch_out(_to, _watch_to, EPOLLOUT));
		else
			_retry(0);
	} else {
		// Nothing but its end is of interest until a write doesn't succeed.
		TRY(_watch_out(_to, _watch_to, EPOLLERR));
		TRY(_watch_in(_from, _watch_from));
	}
	TRY(_watch_in(_errors, _watch_errors));
	post();
	return Ok{};
}

// --- Events

void Relay::Inside::_to_changed(uint32_t events)
{
	if (_connecting) {
		int error = 0;
		socklen_t size = sizeof(error);
		if (::getsockopt(_to.local.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
		_connected(error);
	} else {
		_to.ready = true;
		if (events & (EPOLLERR | EPOLLHUP)) _close_to();
	}
	_turn();
}

void Relay::Inside::_from_changed(uint32_t)
{
	_from.ready = true;
	_turn();
}

void Relay::Inside::_errors_changed(uint32_t)
{
	_errors.ready = true;
	_turn();
}

void Relay::Inside::_errors_to_changed(uint32_t)
{
	_errors_to.ready = true;
	_turn();
}

void Relay::Inside::_process_changed(uint32_t)
{
	int status = 0;
	pid_t const ended = ::waitpid(_process, &status, WNOHANG);
	if (ended == 0) return;
	_loop.remove(_watch_process);
	_pidfd.reset();
	_finished.reaped(std::exchange(_process, -1));
	_process_code = exit_code_of(status);
	if (ended < 0) {
		_process_code = EXIT_DISCONNECTED;
		_message = "somebody else has waited for the local process: its exit code is lost";
	}
	_close_to();
	_turn();
}

// --- A socket that has no connection yet

void Relay::Inside::_retry(uint32_t)
{
	if (!_connecting) return;
	Owned_fd socket;
	int const error = connect_to_service(_connect_again, socket);
	if (error != EAGAIN || _retries == RETRIES_MAX) {
		_loop.remove(_watch_retry);
		_retry_timer.reset();
		_adopt(std::move(socket), {});
		_connected(error);
		if (_retries) _turn();
		return;
	}
	if (!_retry_timer) {
		_retry_timer.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
		if (!_retry_timer || !_loop.add(_watch_retry, _retry_timer.value(), EPOLLIN).ok())
			return _connected(errno);
	}
	itimerspec when{};
	when.it_value.tv_nsec = RETRY_FIRST_NS << std::min(_retries, RETRY_GROWTH);
	(void)::timerfd_settime(_retry_timer.value(), 0, &when, nullptr);
	++_retries;
}

void Relay::Inside::_connected(int error)
{
	_connecting = false;
	if (error) {
		_fail(EXIT_TROUBLE, "cannot connect to the service: " + errno_text(error));
		return;
	}
	_to.ready = _from.ready = true;
	if (!_watch_out(_to, _watch_to, EPOLLERR).ok() || !_watch_in(_from, _watch_from).ok())
		_fail(EXIT_TROUBLE, "cannot watch the service's socket");
}

// --- Ends

// No byte goes to the local side any more.
void Relay::Inside::_close_to()
{
	if (!_to.open) return;
	_to.open = false;
	_prefix.clear();
	_loop.remove(_watch_to);
	bool const shut_down = !_inherited && _to.local.shut_down(SHUT_WR);
	// Kept in case that the process wants to write there.
	if (!shut_down) _to.local.close();
	if (_options.exit_on_client_eof) _end(_from, _watch_from);
}

// No byte is wanted from the local side any more, and the peer isn't told.
void Relay::Inside::_drop(Stream_in &in, Watch &watch)
{
	if (!in.open) return;
	in.open = false;
	_loop.remove(watch);
	if (!_inherited) (void)in.local.shut_down(SHUT_RD);
	in.local.close();
}

// The local side has ended, or shall.
void Relay::Inside::_end(Stream_in &in, Watch &watch)
{
	if (!in.open) return;
	_drop(in, watch);
	in.end_owed = true;
	if (&in == &_from && _options.exit_on_service_eof) _close_to();
}

// SERVICE: there is none after all.
void Relay::Inside::_fail(int code, std::string message)
{
	_message = std::move(message);
	_failure = code;
	_close_to();
	_drop(_from, _watch_from);
	_drop(_errors, _watch_errors);
	_from.end_owed = !_options.just_exec;
	_errors.end_owed = !_options.just_exec && _options.tells_of_errors;
}

// The peer has gone before its time.
void Relay::Inside::_lose()
{
	_lost = true;
	if (_message.empty()) _message = _channel->message();
	_close_to();
	_drop(_from, _watch_from);
	_drop(_errors, _watch_errors);
	_from.end_owed = _errors.end_owed = false;
	_broken = _channel->state() == Data_channel::State::BROKEN;
	_loop.remove(_watch_channel);
	_loop.remove(_watch_retry);
	// Its name is free, while the process may go on for long.
	_channel->abandon();
	_channel.reset();
}

// --- From the peer to the local side

void Relay::Inside::_wait_for_room(Stream_out &out, Watch &watch)
{
	out.ready = false;
	if (std::exchange(out.watched_for_room, true)) return;
	if (!_watch_out(out, watch, EPOLLOUT).ok()) _message = "no memory to watch a descriptor";
}

// How many bytes are done with; -1: later. What can't be written is thrown away.
ssize_t Relay::Inside::_put(Stream_out &out, Watch &watch, Bytes bytes, bool replace)
{
	std::array<uint8_t, REPLACED_MAX> copy;
	Bytes from = bytes;
	if (replace) {
		Mutable_bytes const replaced = Mutable_bytes(copy).first(copy_bytes(copy, bytes));
		replace_characters(replaced);
		from = replaced;
	}
	ssize_t const n = out.local.write(from);
	if (n >= 0) return n;
	if (errno == EAGAIN) {
		_wait_for_room(out, watch);
		return -1;
	}
	if (errno == EINTR) return 0;
	if (&out == &_to) {
		_unwritten = errno;
		_close_to();
	} else {
		out.open = false;
	}
	return static_cast<ssize_t>(bytes.size());
}

// True if something was written.
bool Relay::Inside::_put_prefix()
{
	if (_prefix.empty() || !_to.open || !_to.ready || _connecting) return false;
	ssize_t const n = _put(_to, _watch_to, bytes_of(_prefix), false);
	if (n < 0) return false;
	_prefix.erase(0, static_cast<size_t>(n));
	return true;
}

bool Relay::Inside::_take_bytes(Data_channel::Incoming const &in)
{
	bool const errors = in.stream == Stream::ERR;
	Stream_out &out = errors ? _errors_to : _to;
	Watch &watch = errors ? _watch_errors_to : _watch_to;
	if (!out.open) {
		if (!errors && !_unwritten) _unwritten = EPIPE;
		_channel->consume(in.bytes.size());
		return true;
	}
	if (!out.ready) return false;
	bool const replace = errors ? _options.replace_error_characters : _options.replace_characters;
	ssize_t const n = _put(out, watch, in.bytes, replace);
	if (n < 0) return false;
	_channel->consume(static_cast<size_t>(n));
	return true;
}

void Relay::Inside::_remote_exit(int32_t code)
{
	_remote_code = code;
	// It wouldn't read any more; all that it wrote has been passed on.
	_end(_from, _watch_from);
	_close_to();
}

bool Relay::Inside::_take()
{
	if (_connecting || (!_prefix.empty() && _to.open)) return false;
	Data_channel::Incoming const in = _channel->peek();
	switch (in.kind) {
	case Data_channel::Kind::NOTHING: return false;
	case Data_channel::Kind::BYTES: return _take_bytes(in);
	case Data_channel::Kind::END:
		if (in.stream != Stream::ERR) _close_to();
		return true;
	case Data_channel::Kind::EXIT_CODE: _remote_exit(in.exit_code); return true;
	}
	return false;
}

// --- From the local side to the peer

bool Relay::Inside::_give_end(Stream_in &in)
{
	if (!in.end_owed || !_channel->send_end(in.stream)) return false;
	in.end_owed = false;
	return true;
}

bool Relay::Inside::_give(Stream_in &in, Watch &watch)
{
	if (!in.open) return _give_end(in);
	if (!in.ready) return false;
	auto const room = _channel->reserve(in.stream);
	if (room.size() == 0) return false;
	ssize_t const n = in.local.read(room);
	_channel->commit(n > 0 ? static_cast<size_t>(n) : 0);
	if (n > 0 || (n < 0 && errno == EINTR)) return true;
	bool const later = n < 0 && errno == EAGAIN;
	if (&in == &_from && !later && _switch_wanted()) _switching = true;
	if (&in == &_from && _switching) {
		_switch();
		return true;
	}
	if (later) {
		in.ready = false;
		return false;
	}
	// ECONNRESET of a process that died, EIO of a terminal that is gone: an end, too.
	_end(in, watch);
	return true;
}

// The process may have asked for it and ended its output before the loop has seen the signal.
bool Relay::Inside::_switch_wanted() const
{
	sigset_t pending;
	return _may_switch() && ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGUSR1) == 1;
}

bool Relay::Inside::_may_switch() const
{
	bool const possible = !_socket && !_inherited && !_switched && !_lost && _from.open;
	return possible && _to.local.kind() == Local_stream::Kind::SOCKET;
}

// All that was written to the old output has been read.
void Relay::Inside::_switch()
{
	_switching = false;
	_switched = true;
	_loop.remove(_watch_from);
	_from.local.close();
	_from.local.adopt(_to.local.another(), true);
	_from.open = bool(_from.local) && _watch_in(_from, _watch_from).ok();
	_from.ready = true;
	if (!_from.open) _from.end_owed = true;
}

bool Relay::Inside::_give_code()
{
	if (_side != Side::SERVICE || _code_sent || !_local_done()) return false;
	if (_from.end_owed || _errors.end_owed) return false;
	_code_sent = _channel->send_exit_code(_failure.value_or(_process_code));
	return _code_sent;
}

// --- Turns

bool Relay::Inside::_step()
{
	bool moved = _put_prefix();
	if (_options.just_exec && _prefix.empty() && !_connecting && !_failure) {
		_close_to();
		_failure = 0;
	}
	moved |= _take();
	// A failure tells of output first, a service without errors of these.
	if (_connecting) return moved;
	if (_failure) moved |= _give_end(_from);
	moved |= _give(_errors, _watch_errors);
	moved |= _give(_from, _watch_from);
	return _give_code() || moved;
}

void Relay::Inside::_arm()
{
	bool const blocked = _connecting || (!_prefix.empty() && _to.open) ||
		(_to.open && !_to.ready) || (_errors_to.open && !_errors_to.ready);
	auto const waits = [](Stream_in const &in) { return in.open ? in.ready : in.end_owed; };
	bool const code_owed = _side == Side::SERVICE && _local_done() && !_code_sent;
	_channel->arm(!blocked, waits(_from) || waits(_errors) || code_owed);
}

bool Relay::Inside::_local_done() const
{
	return !_connecting && !_to.open && !_from.open && !_errors.open && _process < 0;
}

bool Relay::Inside::_over()
{
	if (_lost) return _process < 0;
	if (_side == Side::SERVICE)
		return _code_sent && (_channel->peer_gone() || _channel->delivered());
	if (_unwritten && _options.ends_without_reader) return true;
	return _remote_code && _local_done();
}

void Relay::Inside::_tell()
{
	Ending ending{.exit_code = 0,
		.disconnected = _lost,
		.message = std::move(_message),
		.unwritten = _unwritten};
	int32_t code = _failure.value_or(_process_code);
	if (_side == Side::CALLER && (_lost || _remote_code.value_or(0) != 0)) {
		code = _remote_code.value_or(_broken ? EXIT_TROUBLE : EXIT_DISCONNECTED);
	}
	if (_inherited && _unwritten && _unwritten != EPIPE) {
		ending.message = "standard output can't be written: " + errno_text(_unwritten);
		if (code == 0) code = EXIT_TROUBLE;
	}
	// An exit status has 8 bits; what doesn't fit must not become a success.
	ending.exit_code = code >= 0 && code <= 255 ? code : EXIT_DISCONNECTED;
	_loop.remove(_watch_channel);
	_finished.finished(_self, ending);
}

void Relay::Inside::_turn()
{
	using State = Data_channel::State;
	bool armed = false;
	if (_remote_code && !_over()) return;
	if (!_lost && !_remote_code) _channel->look();
	for (unsigned i = 0; i < STEPS && !_lost; ++i) {
		State const state = _channel->state();
		if (state == State::WAITING || state == State::GREETING) return;
		bool const moved = _step();
		if (_over()) return _tell();
		if (_remote_code) {
			// Only the local process is waited for.
			_loop.remove(_watch_channel);
			return;
		}
		if (_channel->state() != State::OPEN) {
			_lose();
			break;
		}
		// Nobody would get it.
		if (_channel->peer_gone()) {
			_drop(_from, _watch_from);
			_drop(_errors, _watch_errors);
		}
		if (moved)
			armed = false;
		else if (armed)
			return;
		else
			_arm(), armed = true;
	}
	if (_over()) return _tell();
	if (!_lost) post();
}

void Relay::Inside::use_stdin_for_output()
{
	if (!_may_switch()) return;
	_switching = true;
	_from.ready = true;
	post();
}

void Relay::use_stdin_for_output() { _inside->use_stdin_for_output(); }

Relay::Relay(Loop &loop, std::unique_ptr<Data_channel> channel, Side side, Local_end local,
	Relay_options options, Finished &finished)
	: _inside(
		  std::make_unique<Inside>(*this, loop, std::move(channel), side, local, options, finished))
{}

Relay::~Relay() = default;

Attempt<void> Relay::start() { return _inside->start(); }

} // namespace bulkhead::qrexec
