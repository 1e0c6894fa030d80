#pragma once

// The ways to talk to another process that channel_bench compares: ours, and what a system has
// anyway. A way is made before the processes part, and each opens its side of it afterwards.

#include "base/bytes.h"
#include "sdk/libvchan/bench/measure.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::bench {

/* One side. All calls block until done, and end the program if something is wrong. */
class Side
{
public:
	virtual ~Side() = default;

	/* So many round trips of messages of so many bytes. */
	virtual void ask(uint64_t count, size_t size) = 0;
	virtual void answer(uint64_t count, size_t size) = 0;

	/* So many bytes from the asker, in calls of so many bytes. */
	virtual void pour(uint64_t bytes, size_t chunk) = 0;
	virtual void drain(uint64_t bytes, size_t chunk) = 0;
};

struct Way
{
	std::string name;

	/* Opens a side: the one who answers, or who asks; these two run at the same time. */
	std::function<std::unique_ptr<Side>(bool answers)> open;
};

/* Where channels are found, and what they are like. */
struct Channel_wish
{
	std::string directory;
	uint32_t ring_bytes = 64 << 10;
};

/* Floors: they carry no bytes. */
Way eventfd_way();
Way spinning_word_way();

/* Connection and Endpoint: arm, try, `Connection::wait`; or tried again and again. */
Way connection_way(Channel_wish const &);
Way spinning_connection_way(Channel_wish const &);

/* Coroutines in a Loop; `spin` as of a Job. */
Way loop_way(Channel_wish const &, unsigned spin);

/* <libvchan.h>, by `send` and `recv` or `write` and `read`. */
Way libvchan_messages_way(Channel_wish const &);
Way libvchan_stream_way(Channel_wish const &);

/* <bulkhead/vchan.h>; `spin` as in its options. */
Way vchan_way(Channel_wish const &, int spin);

/* The same: bytes are made where they lie, and a word of every cache line is looked at there. */
Way zero_copy_way(Channel_wish const &);

/* `capacity`: of the pipe in bytes. */
Way pipe_way(uint32_t capacity);
Way socketpair_way();
/* Empty if this machine has none. */
std::vector<Way> vsock_way();

/* One side here and the other in a process of its own. */
class Duo
{
private:
	std::string _name;
	Peer _peer;
	std::unique_ptr<Side> _side;

public:
	explicit Duo(Way const &);

	std::string const &name() const { return _name; }

	/* Seconds of a round trip. */
	double round_trip(Placement, uint64_t count, size_t size);

	/* Bytes per second. */
	double throughput(Placement, uint64_t bytes, size_t chunk);
};

} // namespace bulkhead::bench
