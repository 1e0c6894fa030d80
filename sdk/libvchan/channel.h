#pragma once

// Waiting: one end of a channel, on whatever transport, for programs that block. It tries, looks
// again for as long as that has been worth it, has itself woken, tries once more, and sleeps. Both
// C interfaces are thin on top of it.

#include "sdk/libvchan/transport.h"
#include "vchan/spin.h"

namespace bulkhead::sdk {

/* A deadline that has passed: don't wait, and don't look for news either. */
inline constexpr uint64_t NOW_US = 0;

/*
 * Results are a count or a negative errno: those of `errno_of`, what the search for the peer has
 * ended with, EAGAIN if the deadline was NOW_US, else ETIMEDOUT, and EINTR. Deadlines are in
 * microseconds of CLOCK_MONOTONIC. Belongs to one thread at a time.
 */
class Channel
{
private:
	std::unique_ptr<Transport> _transport;
	bool const _restarts;
	unsigned const _spin_max;
	vchan::Spin _spin{};
	vchan::State _known_state = vchan::State::WAITING; // as `wait` has told it
	int _ended = 0; // errno of a search that has failed
	int _error = 0;
	std::string _text{};
	uint64_t _sleeps = 0;

	ssize_t _fail(int number, std::string text);
	ssize_t _fail(vchan::Error);
	int _sleep(uint64_t until_us);
	Attempt<size_t, vchan::Error> _ready(uint32_t reasons);
	void _deliver(uint64_t until_us);

	template <typename TRY>
	ssize_t _until(uint32_t reasons, uint64_t until_us, TRY const &);

public:
	/* At most so many looks; fewer than 0: as it suits the transport. */
	static constexpr int SPIN_OF_TRANSPORT = -1;
	static constexpr unsigned SPIN_MAX = vchan::Spin::MOST;

	/* `restarts`: whether waiting goes on after a signal handler has run. */
	Channel(std::unique_ptr<Transport>, int spin, bool restarts);

	Transport &transport() { return *_transport; }
	Transport const &transport() const { return *_transport; }

	/* Takes in what has happened. 0, or why the search has ended. */
	int look();

	/* Blocks until there is something to look at, whatever it is, and looks. */
	int wait_for_event();

	/*
	 * Until one of these (`vchan::sleep_for`) is there; returns which. DATA is also the end of
	 * data, and PEER another state than at the last time this was said.
	 */
	ssize_t wait(uint32_t reasons, uint64_t until_us);

	/* Until the peer is there: 0. */
	int wait_for_peer(uint64_t until_us);

	/* Until there is something, 0: the end. */
	ssize_t read(std::span<Mutable_bytes const> to, uint64_t until_us);

	/*
	 * Until everything is written; fewer bytes if it failed half way (`error`). Uses up the views.
	 */
	ssize_t write(std::span<Bytes> from, uint64_t until_us);

	/* All or nothing. */
	ssize_t receive(std::span<Mutable_bytes const> to, uint64_t until_us);
	ssize_t send(std::span<Bytes const> from, uint64_t until_us);

	/* Without waiting. Empty is the end of data, or EAGAIN. */
	ssize_t peek(vchan::Pieces<Bytes> &, size_t max);
	ssize_t reserve(vchan::Pieces<Mutable_bytes> &, size_t max);

	/* Whether the search for the peer has failed; every call says why. */
	bool failed() const { return _ended != 0; }

	/* The errno of the last failure, and its text. */
	int error() const { return _error; }
	std::string const &text() const { return _text; }

	/* How often it has slept. */
	uint64_t sleeps() const { return _sleeps; }
};

} // namespace bulkhead::sdk
