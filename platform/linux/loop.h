#pragma once

// The event loop of a Linux process: file descriptors, time, signals and wake-ups from other
// threads, all of which end up as jobs that an Executor resumes. One thread runs it; whatever has
// no word about threads in its description belongs to that thread.
//
//	Loop loop;
//	root.start(job);
//	loop.run();                 // until `stop`
//
// or, free-standing, `sync_wait(job, task, loop)`.

#include "base/job.h"
#include "platform/linux/clock.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <sys/epoll.h>

namespace bulkhead::linux_host {

class Kicker;

class Loop
{
public:
	/* How the loop treats a source. */
	enum class Kind : uint8_t {
		NORMAL,
		/*
		 * Rarely ready, e.g. signals: doesn't keep the loop from blocking in a source that does.
		 */
		BACKGROUND,
		/*
		 * Has a `receive` that may block. A read that blocks costs one system call where epoll and
		 * read cost two. The loop lets a source block if it is the only one that is armed apart
		 * from BACKGROUND ones, no job is ready and no wait has a deadline. Otherwise the source is
		 * called when it is ready, as any other, and finds its descriptor in non-blocking mode: the
		 * loop sets and clears O_NONBLOCK as needed. BACKGROUND sources, `Remote`s and `stop`
		 * interrupt a blocked `receive` by a signal (`kick_signal`), which a helper thread repeats
		 * until the loop has noticed: it may come before the system call has begun.
		 */
		BLOCKING,
	};

	/*
	 * A file descriptor that is watched. The descriptor stays its owner's, who removes the source
	 * before closing it. May be added, changed and removed at any time, from any callback; is
	 * removed by its end.
	 */
	class Source : private Link<Source>
	{
	private:
		friend class Loop;
		friend class Link<Source>;
		friend class List<Source>;

		Loop *_loop = nullptr;
		int _fd = -1;
		uint32_t _events = 0;
		Kind _kind = Kind::NORMAL;
		int _flags = 0; // BLOCKING: of the descriptor, as it was found
		bool _nonblocking = false; // BLOCKING: what O_NONBLOCK is now

	protected:
		Source() = default;
		~Source();

	public:
		Source(Source const &) = delete;
		Source &operator=(Source const &) = delete;

		/* The descriptor while the source is in a loop, otherwise -1. */
		int fd() const { return _fd; }
		/* The loop that it is in, null if in none. */
		Loop *loop() const { return _loop; }

		/*
		 * Some of the events that are wanted, EPOLLERR or EPOLLHUP have occurred. Level-triggered:
		 * what is not read is told again, so one read per call will do. Must expect EAGAIN.
		 */
		virtual void ready(uint32_t events) = 0;

		/*
		 * A BLOCKING source reads here, once, and handles in `ready`, which is called next, what it
		 * has read. Does nothing but the read, since a signal may interrupt it: EINTR and EAGAIN
		 * are no errors.
		 */
		virtual void receive() {}
	};

	/*
	 * A wake-up from another thread. `post` may be called by any thread; `posted` is called by the
	 * loop soon afterwards, once for any number of posts in between, in the order of the first.
	 */
	class Remote : private Link<Remote>
	{
	private:
		friend class Loop;
		friend class Link<Remote>;
		friend class List<Remote>;

		Loop &_loop;
		Remote *_next = nullptr;
		std::atomic<bool> _posted{false};

	protected:
		explicit Remote(Loop &loop) : _loop(loop) {}

		/* Withdraws what was posted. No other thread may post any more. */
		~Remote();

	public:
		Remote(Remote const &) = delete;
		Remote &operator=(Remote const &) = delete;

		/* Any thread. Does not block. */
		void post();

		virtual void posted() = 0;
	};

	/*
	 * While it exists, no source blocks: a `Remote` is about to be posted, and finds the loop
	 * faster in epoll.
	 */
	class Expected
	{
	private:
		Loop &_loop;

	public:
		explicit Expected(Loop &loop) : _loop(loop) { ++_loop._armed; }
		Expected(Expected const &) = delete;
		Expected &operator=(Expected const &) = delete;
		~Expected() { --_loop._armed; }
	};

	/* Awaitable: see `wait_readable`. */
	class [[nodiscard]] Wait final : private Source
	{
	private:
		friend class Loop;

		Loop &_waiter;
		Job &_job;
		int const _wanted_fd;
		uint32_t const _wanted_events;
		uint64_t const _until_us;
		Attempt<void> _outcome = Ok{};
		bool _suspended = false;

		Wait(Loop &loop, Job &job, int fd, uint32_t events, uint64_t until_us)
			: _waiter(loop), _job(job), _wanted_fd(fd), _wanted_events(events), _until_us(until_us)
		{}

		void ready(uint32_t events) override;

	public:
		bool await_ready();
		void await_suspend(std::coroutine_handle<> coroutine);
		Attempt<void> await_resume();
	};

private:
	friend class Kicker;

	// What the loop does, for those who want to wake it.
	enum class State : uint8_t {
		RUNNING, // looks for posts before it sleeps
		POLLING, // sleeps in epoll_pwait2
		BLOCKED, // sleeps in a source
		KICKED, // as BLOCKED, and was sent a signal
	};

	static constexpr unsigned EVENTS_MAX = 64; // per round
	static constexpr unsigned JOBS_MAX = 256; // resumed between two looks at the descriptors

	Monotonic_clock _clock{};
	Executor _executor{_clock};

	int _epoll = -1;
	int _wake = -1; // eventfd
	std::atomic<State> _state{State::RUNNING};
	std::atomic<bool> _attention{false}; // a don't sleep: `stop`, or a BACKGROUND source is ready
	std::atomic<bool> _stopped{false};
	std::atomic<Remote *> _posts{nullptr}; // latest first
	List<Remote> _to_call{};
	List<Source> _background{};

	unsigned _armed = 0; // Expected, and sources that wait for something and aren't BACKGROUND
	Source *_blocking = nullptr; // the one that may block
	std::unique_ptr<Kicker> _kicker;

	epoll_event _round[EVENTS_MAX];
	int _next_event = 0, _events_end = 0; // of this round, not yet dispatched

	void _count(Source const &, uint32_t events_before, uint32_t events_now);
	void _take_posts();
	bool _call_posts();
	bool _may_block(uint64_t until_us) const;
	bool _may_sleep(State);
	void _block();
	void _wait(uint64_t until_us);
	void _dispatch();
	void _prepare_to_block(Source &);
	void _set_nonblocking(Source &, bool);
	void _wake_up();

public:
	/* Takes two descriptors and, for a BLOCKING source, a few more and a thread. */
	Loop();
	~Loop();
	Loop(Loop const &) = delete;
	Loop &operator=(Loop const &) = delete;

	/* Whether the loop could be made. Error: TOO_MANY_OPEN; then all else fails, too. */
	Attempt<void> usable() const;

	Executor &executor() { return _executor; }
	Clock const &clock() const { return _clock; }

	/*
	 * Watches a descriptor for events (EPOLLIN, EPOLLOUT …; 0: none yet, not even EPOLLHUP).
	 * Errors: BUSY (the descriptor is watched already, by this or another source), NOT_SUPPORTED (a
	 * regular file or directory, which is always ready; a second BLOCKING source), INVALID (not
	 * open), NO_SPACE (limit of watches per user), OUT_OF_MEMORY, TOO_MANY_OPEN.
	 */
	Attempt<void> add(Source &source, int fd, uint32_t events, Kind kind = Kind::NORMAL);

	/* Changes what an added source waits for. Errors: OUT_OF_MEMORY, NO_SPACE. */
	Attempt<void> change(Source &source, uint32_t events);

	/* No callback comes after this one, not even one that was due. Without effect if not added. */
	void remove(Source &source);

	/*
	 * `co_await loop.wait_readable(job, fd)` suspends until a read would not block, because there
	 * is something to read, an end or an error. Costs two system calls: what is read often is a
	 * Source. Errors: CANCELLED, TIMEOUT (microseconds of `clock()`), BUSY (somebody else waits for
	 * this descriptor), INVALID (not open), OUT_OF_MEMORY, NO_SPACE.
	 */
	Wait wait_readable(Job &job, int fd, uint64_t until_us = NEVER_US)
	{
		return {*this, job, fd, EPOLLIN | EPOLLRDHUP, until_us};
	}

	/* The same for writing. */
	Wait wait_writable(Job &job, int fd, uint64_t until_us = NEVER_US)
	{
		return {*this, job, fd, EPOLLOUT, until_us};
	}

	/* Runs jobs and calls sources until `stop`; returns at once if that was called before. */
	void run();

	/* Has `run` return after its current round. Any thread. */
	void stop();

	/*
	 * One round without running jobs: sleeps until there is something to do, a `stop` or the time
	 * has come (microseconds of `clock()`; 0: doesn't sleep), then calls sources and remotes.
	 */
	void poll(uint64_t until_us);

	/* The real-time signal that interrupts a source which blocks; not for other use. */
	static int kick_signal();

	/* As the poll function of `sync_wait`. */
	void operator()(uint64_t until_us) { poll(until_us); }
};

} // namespace bulkhead::linux_host
