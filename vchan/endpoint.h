#pragma once

// One end of a channel: both directions, its states, and who is to be woken when. It knows no
// operating system: what wakes the peer is a Doorbell that it is handed, and whoever hears ours
// calls `rung`. doc/vchan.md says what is shared, vchan/model proves it.
//
//	Endpoint end{TRY(attach(region, generation)), doorbell};
//	size_t const n = co_await may(co_await end.read(job, buffer)); // 0: the peer has ended

#include "base/event.h"
#include "base/task.h"
#include "vchan/layout.h"
#include "vchan/ring.h"
#include "vchan/spin.h"

#include <optional>

namespace bulkhead::vchan {

/* Wakes the peer's side, which keeps a ring until it looks: `rung` follows there. */
class Doorbell
{
protected:
	~Doorbell() = default;

public:
	/* Does not block; a full memory barrier, as any system call is. */
	virtual void ring() = 0;
};

enum class State : uint8_t {
	WAITING, // a server before its client, or a client before its server opened
	CONNECTED,
	HALF_CLOSED, // one side or both produce no more
	CLOSED, // one side has closed; what it sent can still be read
	DEAD, // the host says that the peer is gone; what it sent can still be read
	BROKEN, // the peer broke the protocol, see `fault`
};

/*
 * Belongs to one thread, as its jobs do, `rung` and `peer_died` included. Region and doorbell
 * outlive it, and it outlives the tasks that wait in it. At most one job reads and one writes.
 *
 * Errors of all operations: of the peer's that break the protocol, which end the channel; and
 * ONE_WAY of those that write or read where the channel has no ring.
 */
class Endpoint
{
private:
	Attachment const _attachment;
	Doorbell &_doorbell;
	Producer _out;
	Consumer _in;
	Event _changed{};

	Life _own_life = Life::ABSENT;
	Life _peer_life = Life::ABSENT; // as last believed
	bool _peer_dead = false;
	std::optional<Error> _fault{};

	uint32_t _ticket = 1; // of our next sleep
	uint32_t _sleeping_for = 0; // what our word says
	uint32_t _sleeping_elsewhere = 0; // of these, what `arm` has asked for
	uint32_t _rung_ticket = 0; // of the peer's last sleep that we ended
	Spin _spin{};
	uint64_t _rings = 0;

	void _publish(Life);
	void _notify(uint32_t reasons);
	void _arm(uint32_t reasons);
	void _disarm();
	Error _break(Error);
	Attempt<void, Error> _look_at_peer();
	bool _peer_ended() const { return _peer_dead || _peer_life >= Life::FINISHED; }
	Attempt<void, Error> _may_write();
	template <typename T>
	Attempt<T, Error> _checked(Attempt<T, Error>);
	Attempt<size_t, Error> _moved(Attempt<size_t, Error>, uint32_t reason);
	Attempt<size_t, Error> _room_or_wait(size_t wanted);
	Attempt<size_t, Error> _data_or_wait(size_t wanted);

	template <typename LOOK>
	Task<size_t, Error> _when(Job &, uint32_t reasons, uint64_t until_us, LOOK);
	template <typename LOOK>
	Task<size_t, Error> _later(Job &, uint32_t reasons, uint64_t until_us, LOOK);
	Task<size_t, Error> _write_rest(Job &, Bytes from, size_t written, uint64_t until_us);

public:
	/* Opens: from here on the peer may find us. */
	Endpoint(Attachment const &, Doorbell &);
	Endpoint(Endpoint const &) = delete;
	Endpoint &operator=(Endpoint const &) = delete;

	/* Closes. */
	~Endpoint() { close(); }

	/* Looks at the peer first. */
	State state();

	/* Whether the peer will commit no more, as it has finished, closed or died; looks at it. */
	bool peer_finished();

	/* Why the channel is BROKEN. */
	std::optional<Error> fault() const { return _fault; }

	/* The sizes of the rings; 0: this side doesn't write, or doesn't read. */
	size_t out_capacity() const { return _out.capacity(); }
	size_t in_capacity() const { return _in.capacity(); }

	/* How often we have rung the peer. */
	uint64_t rings() const { return _rings; }

	/*
	 * Without waiting. `try_write` copies what fits, `try_send` all or nothing. Errors: WOULD_BLOCK
	 * (no byte fits; not all fit), TOO_LONG (`try_send`), CLOSED (this end has finished),
	 * PEER_CLOSED, PEER_DEAD. Writing nothing succeeds as long as there is nobody to refuse it.
	 */
	Attempt<size_t, Error> try_write(std::span<Bytes const> from);
	Attempt<size_t, Error> try_write(Bytes from) { return try_write({&from, 1}); }
	Attempt<size_t, Error> try_send(std::span<Bytes const> from);
	Attempt<size_t, Error> try_send(Bytes from) { return try_send({&from, 1}); }

	/*
	 * Without waiting. What a peer committed before its end is read first. `try_read`: 0 is the end
	 * of the stream, as the peer has finished or closed (or no room was given). `try_receive` fills
	 * all views or takes nothing. Errors: WOULD_BLOCK, TOO_LONG and PEER_CLOSED (fewer bytes than
	 * that will ever come; `try_receive`), CLOSED (this end), PEER_DEAD (nothing is left).
	 */
	Attempt<size_t, Error> try_read(std::span<Mutable_bytes const> to);
	Attempt<size_t, Error> try_read(Mutable_bytes to) { return try_read({&to, 1}); }
	Attempt<size_t, Error> try_receive(std::span<Mutable_bytes const> to);
	Attempt<size_t, Error> try_receive(Mutable_bytes to) { return try_receive({&to, 1}); }

	/*
	 * Zero-copy, see Producer and Consumer: an empty view where the others would block. `reserve`
	 * and `peek` have the errors of `try_write` and `try_read` without WOULD_BLOCK; the commits
	 * take at most what the views before them had, and have no effect once this end has ended.
	 */
	Attempt<Pieces<Mutable_bytes>, Error> reserve(size_t max = ALL);
	void commit_written(size_t n);
	Attempt<Pieces<Bytes>, Error> peek(size_t max = ALL);
	void commit_read(size_t n);

	/*
	 * Waiting until a deadline in microseconds of the executor's clock. They look `job.spin` times
	 * (at most `Spin::MOST`, fewer where looking has been in vain) before they sleep, unless other
	 * jobs are ready. Errors: those of their namesakes without WOULD_BLOCK; CANCELLED, TIMEOUT,
	 * OUT_OF_FRAMES. Views of views stay the caller's until the task ends.
	 *
	 * `write_all` returns fewer bytes than given only if it failed half way; the next call tells
	 * why. Who sends a message whole and who receives whole ones of another size may wait for each
	 * other, if the two together exceed the ring: agree on sizes, or `read`.
	 */
	Task<size_t, Error> read(Job &, Mutable_bytes to, uint64_t until_us = NEVER_US);
	Task<size_t, Error> receive(Job &, Mutable_bytes to, uint64_t until_us = NEVER_US);
	Task<size_t, Error> write(Job &, Bytes from, uint64_t until_us = NEVER_US);
	Task<size_t, Error> write_all(Job &, Bytes from, uint64_t until_us = NEVER_US);
	Task<size_t, Error> send(Job &, Bytes from, uint64_t until_us = NEVER_US);

	/*
	 * Until at least so many bytes fit, or are there (fewer: the stream has ended); returns how
	 * many. For zero-copy. Error: TOO_LONG beyond the ring's size, and as above.
	 */
	Task<size_t, Error> wait_for_room(Job &, size_t bytes, uint64_t until_us = NEVER_US);
	Task<size_t, Error> wait_for_data(Job &, size_t bytes, uint64_t until_us = NEVER_US);

	/*
	 * For those who sleep elsewhere, such as in `poll`: has the peer ring when what is asked for
	 * (`sleep_for`; PEER: that it has opened) may have come. One looks again after it, and sleeps
	 * only then. Until `rung`.
	 */
	void arm(uint32_t reasons);

	/* Produces no more; the peer reads what is there, then the end. Still consumes. */
	void finish() { _publish(Life::FINISHED); }

	/* Neither produces nor consumes any more. The peer reads what is there. */
	void close() { _publish(Life::CLOSED); }

	/* Our doorbell rang: all who wait look again. In vain is harmless. */
	void rung();

	/* The host is sure that the peer runs no more, and that all it wrote can be seen. */
	void peer_died();
};

} // namespace bulkhead::vchan
