#pragma once

// Byte streams between two domains, for programs with an event loop and for those that count
// copies: nothing blocks unless it is given time, data can be used where it lies, and a channel can
// be one-way. bulkhead-vchan(3) tells more; <libvchan.h> has the interface of Qubes OS for the same
// channels.
//
//	Bulkhead_vchan *channel = NULL;
//	if (bulkhead_vchan_connect(&channel, 7, 512, NULL) < 0) die(bulkhead_vchan_last_error());
//	if (bulkhead_vchan_connect_wait(channel, 1000) < 0) die(bulkhead_vchan_error(channel));
//	n = bulkhead_vchan_read(channel, buffer, sizeof(buffer), -1);
//
// A channel belongs to one thread at a time. Errors are negative numbers of <errno.h>. Those that
// every function with a channel can return:
//
//	-EPIPE       the other side has ended, or reads no more
//	-ESHUTDOWN   this side has
//	-ECONNRESET  the other side has died
//	-EPROTO      the other side has broken the protocol, which ended the channel
//	-EOPNOTSUPP  the channel carries nothing that way
//
// and those of a search that failed, see `bulkhead_vchan_connect`.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Bulkhead_vchan Bulkhead_vchan;

/* Reasons to wake up. */
enum {
	BULKHEAD_VCHAN_DATA = 1, /* bytes to read, or the end of them */
	BULKHEAD_VCHAN_ROOM = 2, /* room to write */
	BULKHEAD_VCHAN_PEER = 4 /* the other side has come, finished, or ended */
};

enum {
	BULKHEAD_VCHAN_WAITING = 0, /* for the other side */
	BULKHEAD_VCHAN_CONNECTED = 1,
	BULKHEAD_VCHAN_HALF_CLOSED = 2, /* a side, or both, will send no more */
	BULKHEAD_VCHAN_CLOSED = 3, /* a side has closed; what the other sent can be read */
	BULKHEAD_VCHAN_DEAD = 4, /* the other side has died; what it sent can be read */
	BULKHEAD_VCHAN_BROKEN = 5 /* the other side has broken the protocol */
};

enum {
	BULKHEAD_VCHAN_RING_MAX = 64 << 20, /* bytes of a ring, at most */
	BULKHEAD_VCHAN_SPIN_MAX = 4096
};

/*
 * What may be said about a channel that is to be. Begin with BULKHEAD_VCHAN_OPTIONS_INIT; strings
 * are copied.
 */
typedef struct
{
	size_t size; /* of this structure, as the caller knows it */
	/*
	 * "shm" or "socket"; null: $BULKHEAD_VCHAN, else "socket" where only $VCHAN_SOCKET_DIR says
	 * where domains meet, else "shm"
	 */
	char const *transport;
	char const *directory; /* where domains meet; null: the transport's own, see above */
	int own_domain; /* -1: $VCHAN_DOMAIN */

	/*
	 * Of a server: bytes of the rings that it reads and writes, rounded up to a power of two. One
	 * of them may be 0: a channel in the other direction only.
	 */
	size_t read_bytes;
	size_t write_bytes;

	/*
	 * How often, at most, one looks again before one sleeps, up to BULKHEAD_VCHAN_SPIN_MAX; it is
	 * less where that has been in vain. -1: as it suits the transport.
	 */
	int spin;
} Bulkhead_vchan_options;

/* clang-format off */
#define BULKHEAD_VCHAN_OPTIONS_INIT \
	{sizeof(Bulkhead_vchan_options), NULL, NULL, -1, 65536, 65536, -1}
/* clang-format on */

/*
 * Waits under this port for one client, the domain `domain`; what is written before it comes is
 * kept for it. `options` may be null. `*channel` is null if it fails. Doesn't block. Errors:
 * -EINVAL (an argument or option out of range), -EDESTADDRREQ (the own domain isn't known), -ELOOP
 * (it is `domain`), -EPROTONOSUPPORT (no such transport), -EOPNOTSUPP (a transport that isn't there
 * yet, or can't be one-way), -ENOENT (no directory), -EPERM (others could replace what is in it),
 * -EUCLEAN (its access rules can't be read), -EACCES (they don't allow it), -EADDRINUSE (another
 * server waits there), -ENOSPC (the directory is full), -EBUSY (another process keeps it locked),
 * -EMFILE, -ENOMEM, -EIO (see the text).
 */
int bulkhead_vchan_listen(
	Bulkhead_vchan **channel, int domain, int port, Bulkhead_vchan_options const *options);

/*
 * Looks for the server `domain`. Doesn't block: the channel may be there at once, or be WAITING
 * until `bulkhead_vchan_connect_wait` returns 0, or `bulkhead_vchan_look` has been called as often
 * as it takes. Errors, here and later: as above but -EADDRINUSE, and -EDQUOT (limit of inotify),
 * -ECONNREFUSED (too many clients wait there), -EPROTOTYPE (the server speaks another version or
 * transport), -EBADMSG (it says what makes no sense).
 */
int bulkhead_vchan_connect(
	Bulkhead_vchan **channel, int domain, int port, Bulkhead_vchan_options const *options);

/*
 * Takes up an end that a broker has made: shared memory, and the two descriptors that it goes with
 * to wake the other side and to be woken. They are the channel's from then on, also if this fails.
 * Errors: -EPROTO (not what such an end consists of), -EINVAL, -EMFILE, -ENOMEM, -EIO.
 */
enum { BULKHEAD_VCHAN_SERVER = 0, BULKHEAD_VCHAN_CLIENT = 1 };
int bulkhead_vchan_adopt(
	Bulkhead_vchan **channel, int memory_fd, int out_fd, int in_fd, int role, uint32_t generation);

/* Ends this side; the other can still read what was sent. Null is ignored. */
void bulkhead_vchan_close(Bulkhead_vchan *channel);

/*
 * For event loops: readable when `bulkhead_vchan_look` has something to do, the same as long as
 * the channel exists. One arms what one waits for, tries once more, and goes back to the loop only
 * if there is still nothing; what was armed holds until the next look.
 */
int bulkhead_vchan_fd(Bulkhead_vchan const *channel);
int bulkhead_vchan_look(Bulkhead_vchan *channel);
void bulkhead_vchan_arm(Bulkhead_vchan *channel, unsigned reasons);

/*
 * In all that follows, `timeout_ms` is how long to wait at most: 0 not at all, -1 without limit.
 * Then there are two more errors: -ETIMEDOUT, or -EAGAIN if the time was 0; and -EINTR when a
 * signal handler has run.
 */

/*
 * Waits for one of these reasons; returns those that are there: data (or its end), room, and for
 * PEER that the state isn't any more what it was when the last such wait returned it.
 */
int bulkhead_vchan_wait(Bulkhead_vchan *channel, unsigned reasons, int timeout_ms);

/* Waits until the other side is there. Returns 0. */
int bulkhead_vchan_connect_wait(Bulkhead_vchan *channel, int timeout_ms);

/*
 * Bytes that were read, at least one; 0: the other side will send no more (or no room was given).
 */
ssize_t bulkhead_vchan_read(Bulkhead_vchan *channel, void *to, size_t size, int timeout_ms);
ssize_t bulkhead_vchan_readv(
	Bulkhead_vchan *channel, struct iovec const *to, int count, int timeout_ms);

/*
 * Bytes that were written: all, or what could be when the time had passed, a signal came or the
 * channel ended. An error means none.
 */
ssize_t bulkhead_vchan_write(
	Bulkhead_vchan *channel, void const *from, size_t size, int timeout_ms);
ssize_t bulkhead_vchan_writev(
	Bulkhead_vchan *channel, struct iovec const *from, int count, int timeout_ms);

/*
 * All or nothing. A further error: -EMSGSIZE (the ring could never hold it). -EPIPE of `recv`: less
 * than that will ever come, which can be read.
 */
ssize_t bulkhead_vchan_send(Bulkhead_vchan *channel, void const *from, size_t size, int timeout_ms);
ssize_t bulkhead_vchan_sendv(
	Bulkhead_vchan *channel, struct iovec const *from, int count, int timeout_ms);
ssize_t bulkhead_vchan_recv(Bulkhead_vchan *channel, void *to, size_t size, int timeout_ms);
ssize_t bulkhead_vchan_recvv(
	Bulkhead_vchan *channel, struct iovec const *to, int count, int timeout_ms);

/*
 * Without a copy, and without waiting: up to `max` bytes where they lie, in one piece or two. They
 * return how many, 0 for the end of the stream, or -EAGAIN. `consume` and `commit` take the first
 * `size` of them, at most as many as there were. The other side may change memory that it shares
 * while one looks at it: what is checked is copied first.
 */
ssize_t bulkhead_vchan_peek(Bulkhead_vchan *channel, struct iovec pieces[2], size_t max);
void bulkhead_vchan_consume(Bulkhead_vchan *channel, size_t size);
ssize_t bulkhead_vchan_reserve(Bulkhead_vchan *channel, struct iovec pieces[2], size_t max);
void bulkhead_vchan_commit(Bulkhead_vchan *channel, size_t size);

/* Sends no more; the other side reads what there is, then the end. One may still read. */
void bulkhead_vchan_finish(Bulkhead_vchan *channel);

/* One of BULKHEAD_VCHAN_WAITING and so on. */
int bulkhead_vchan_state(Bulkhead_vchan *channel);

/* Bytes of the rings as this side sees them; 0 as long as a client has not found its server. */
void bulkhead_vchan_capacity(Bulkhead_vchan const *channel, size_t *read, size_t *write);

/*
 * The user of the other side, as the kernel says. Errors: -ENOTCONN (not there yet), -EOPNOTSUPP
 * (it isn't known with this transport, or of an end that was adopted).
 */
int bulkhead_vchan_peer_uid(Bulkhead_vchan *channel, uid_t *uid);

/* How often this side has woken the other, and slept. `size` is set by the caller. */
typedef struct
{
	size_t size; /* of this structure, as the caller knows it */
	uint64_t rings;
	uint64_t sleeps;
} Bulkhead_vchan_stats;
void bulkhead_vchan_stats(Bulkhead_vchan const *channel, Bulkhead_vchan_stats *stats);

/*
 * The last error of this channel in words, and that of the last call in this thread that failed,
 * be it of this interface or of <libvchan.h>. Empty if there was none; valid until the next call.
 * -EAGAIN has no text.
 */
char const *bulkhead_vchan_error(Bulkhead_vchan const *channel);
char const *bulkhead_vchan_last_error(void);

#ifdef __cplusplus
}
#endif
