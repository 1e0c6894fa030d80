#include "platform/linux/loop.h"

#include "platform/linux/errno.h"
#include "platform/linux/kicker.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace bulkhead::linux_host {

int Loop::kick_signal() { return SIGRTMIN + 7; }

Loop::Loop()
{
	_epoll = epoll_create1(EPOLL_CLOEXEC);
	_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	// Edge-triggered, the counter need never be read.
	epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
	if (epoll_ctl(_epoll, EPOLL_CTL_ADD, _wake, &event) == 0) return;
	if (_wake >= 0) close(_wake);
	_wake = -1;
}

Loop::~Loop()
{
	_kicker.reset();
	if (_wake >= 0) close(_wake);
	if (_epoll >= 0) close(_epoll);
}

Attempt<void> Loop::usable() const
{
	if (_wake < 0) return Error::TOO_MANY_OPEN;
	return Ok{};
}

Loop::Source::~Source()
{
	if (_loop) _loop->remove(*this);
}

void Loop::_count(Source const &source, uint32_t events_before, uint32_t events_now)
{
	if (source._kind == Kind::BACKGROUND) return;
	if (events_before) --_armed;
	if (events_now) ++_armed;
}

Attempt<void> Loop::add(Source &source, int fd, uint32_t events, Kind kind)
{
	TRY(usable());
	if (source.loop()) return Error::BUSY;
	if (kind == Kind::BLOCKING) {
		if (_blocking) return Error::NOT_SUPPORTED;
		source._flags = fcntl(fd, F_GETFL);
		if (source._flags < 0) return Error::INVALID;
		source._nonblocking = source._flags & O_NONBLOCK;
	}
	source._loop = this;
	source._fd = fd;
	source._kind = kind;
	source._events = 0;
	if (Attempt<void> const armed = change(source, events); !armed.ok()) {
		source._loop = nullptr;
		source._fd = -1;
		return armed;
	}
	if (kind == Kind::BACKGROUND) _background.push_back(source);
	if (kind == Kind::BLOCKING) _prepare_to_block(source);
	return Ok{};
}

/* Without its helper the loop doesn't let the source block, and is slower but no less right. */
void Loop::_prepare_to_block(Source &source)
{
	_blocking = &source;
	if (_kicker) return;
	_kicker = std::make_unique<Kicker>(*this);
	if (!_kicker->start().ok()) {
		_kicker.reset();
		return;
	}
	_background.for_each([this](Source &other) {
		if (other._events) _kicker->watch(other._fd, other._events);
	});
}

Attempt<void> Loop::change(Source &source, uint32_t events)
{
	BULKHEAD_ASSERT(source._loop == this);
	uint32_t const before = source._events;
	if (events == before) return Ok{};
	int const operation = !before ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	epoll_event event{.events = events, .data = {.ptr = &source}};
	if (epoll_ctl(_epoll, operation, source._fd, &event) < 0) {
		if (errno == EEXIST) return Error::BUSY;
		if (errno == EPERM) return Error::NOT_SUPPORTED;
		return error_of_errno(errno);
	}
	source._events = events;
	_count(source, before, events);
	if (source._kind == Kind::BACKGROUND && _kicker) {
		if (events)
			_kicker->watch(source._fd, events);
		else
			_kicker->unwatch(source._fd);
	}
	return Ok{};
}

void Loop::remove(Source &source)
{
	if (!source.loop()) return;
	BULKHEAD_ASSERT(source._loop == this);
	// Fails if the descriptor was closed, against the rules: then the kernel has forgotten it.
	if (source._events) epoll_ctl(_epoll, EPOLL_CTL_DEL, source._fd, nullptr);
	if (source._kind == Kind::BACKGROUND && _kicker) _kicker->unwatch(source._fd);
	if (source._kind == Kind::BLOCKING) {
		_set_nonblocking(source, source._flags & O_NONBLOCK);
		_blocking = nullptr;
	}
	_count(source, source._events, 0);
	source.unlink();
	source._loop = nullptr;
	source._fd = -1;
	source._events = 0;
	for (int i = _next_event; i < _events_end; i++)
		if (_round[i].data.ptr == &source) _round[i].data.ptr = nullptr;
}

void Loop::_set_nonblocking(Source &source, bool nonblocking)
{
	if (source._nonblocking == nonblocking) return;
	source._nonblocking = nonblocking;
	int const flags = nonblocking ? source._flags | O_NONBLOCK : source._flags & ~O_NONBLOCK;
	fcntl(source._fd, F_SETFL, flags);
}

void Loop::Remote::post()
{
	// Once it is in the list, it may be called and destroyed at any moment.
	Loop &loop = _loop;
	if (_posted.exchange(true)) return;
	_next = loop._posts.load();
	while (!loop._posts.compare_exchange_weak(_next, this)) {}
	loop._wake_up();
}

Loop::Remote::~Remote()
{
	if (_posted) _loop._take_posts();
}

void Loop::_take_posts()
{
	Remote *latest = _posts.exchange(nullptr);
	Remote *first = nullptr;
	while (latest) {
		Remote *const next = latest->_next;
		latest->_next = first;
		first = latest;
		latest = next;
	}
	for (; first; first = first->_next) _to_call.push_back(*first);
}

bool Loop::_call_posts()
{
	if (_posts.load()) _take_posts();
	bool called = false;
	while (Remote *const remote = _to_call.pop_front()) {
		remote->_posted = false;
		remote->posted();
		called = true;
	}
	return called;
}

void Loop::_wake_up()
{
	State state = _state.load();
	if (state == State::POLLING) {
		// Only the first one writes.
		if (_state.compare_exchange_strong(state, State::RUNNING)) eventfd_write(_wake, 1);
	} else if (state != State::RUNNING) {
		_kicker->wake();
	}
}

void Loop::stop()
{
	_stopped = true;
	_attention = true;
	_wake_up();
}

/* Whoever posts looks at the state afterwards; we look at the posts after changing the state. */
bool Loop::_may_sleep(State how)
{
	_state = how;
	return !_attention && !_posts.load();
}

bool Loop::_may_block(uint64_t until_us) const
{
	return until_us == NEVER_US && _blocking && _kicker && _armed == 1 && _blocking->_events;
}

void Loop::_block()
{
	Source &source = *_blocking;
	_set_nonblocking(source, false);
	_kicker->will_sleep();
	bool const may_sleep = _may_sleep(State::BLOCKED);
	if (may_sleep) source.receive();
	if (_state.exchange(State::RUNNING) == State::KICKED) _kicker->was_kicked();
	if (may_sleep) source.ready(source._events);
}

static int wait_for_events(int epoll, std::span<epoll_event> events, timespec const *timeout)
{
	int const size = static_cast<int>(events.size());
	int const n = epoll_pwait2(epoll, events.data(), size, timeout, nullptr);
	if (n >= 0 || errno != ENOSYS) return n;
	// Before Linux 5.11, or in a sandbox that doesn't know the call: milliseconds, rounded up.
	if (!timeout) return epoll_wait(epoll, events.data(), size, -1);
	time_t const ms = timeout->tv_sec * 1000 + (timeout->tv_nsec + 999'999) / 1'000'000;
	return epoll_wait(epoll, events.data(), size, static_cast<int>(std::min<time_t>(ms, 60'000)));
}

void Loop::_wait(uint64_t until_us)
{
	timespec timeout{};
	uint64_t const now_us = until_us && until_us != NEVER_US ? _clock.now_us() : 0;
	if (until_us > now_us && until_us != NEVER_US) {
		timeout.tv_sec = static_cast<time_t>((until_us - now_us) / 1'000'000);
		timeout.tv_nsec = static_cast<long>((until_us - now_us) % 1'000'000 * 1000);
	}
	if (until_us && !_may_sleep(State::POLLING)) {
		timeout = {};
		until_us = 0;
	}
	int const n = wait_for_events(_epoll, _round, until_us == NEVER_US ? nullptr : &timeout);
	_state = State::RUNNING;
	_next_event = 0;
	_events_end = std::max(n, 0);
}

void Loop::_dispatch()
{
	while (_next_event < _events_end) {
		epoll_event const &event = _round[_next_event++];
		// Null: the wake-up of the loop, or a source that was removed since.
		Source *const source = static_cast<Source *>(event.data.ptr);
		if (!source) continue;
		uint32_t const events = event.events & (source->_events | EPOLLERR | EPOLLHUP);
		if (!events || !source->_events) continue;
		if (source->_kind == Kind::BLOCKING) {
			_set_nonblocking(*source, true);
			source->receive();
		}
		source->ready(events);
	}
}

void Loop::poll(uint64_t until_us)
{
	if (!usable().ok()) return;
	// A callback that polls goes on with what its own round has left.
	if (_next_event < _events_end) return _dispatch();
	bool const called = _call_posts();
	if (_attention.exchange(false) || called || _executor.ready()) until_us = 0;
	if (_may_block(until_us)) return _block();
	_wait(until_us);
	_dispatch();
	_call_posts();
}

void Loop::run()
{
	while (usable().ok() && !_stopped.exchange(false)) {
		_executor.run_ready(JOBS_MAX);
		poll(_executor.ready() ? 0 : _executor.next_deadline_us());
		_executor.expire();
	}
}

bool Loop::Wait::await_ready()
{
	if (_job.cancelled()) {
		_outcome = Error::CANCELLED;
		return true;
	}
	Attempt<void> const added = _waiter.add(*this, _wanted_fd, _wanted_events | EPOLLONESHOT);
	if (added.ok()) return false;
	// What epoll doesn't take, a regular file, never blocks.
	if (added.error() != Error::NOT_SUPPORTED) _outcome = added;
	return true;
}

void Loop::Wait::await_suspend(std::coroutine_handle<> coroutine)
{
	_suspended = true;
	_job.wait_in(nullptr, coroutine, _until_us);
}

void Loop::Wait::ready(uint32_t)
{
	_waiter.remove(*this);
	if (_job.waiting()) _job.fulfil();
}

Attempt<void> Loop::Wait::await_resume()
{
	if (!_suspended) return _outcome;
	_waiter.remove(*this);
	return _job.wait_result();
}

} // namespace bulkhead::linux_host
