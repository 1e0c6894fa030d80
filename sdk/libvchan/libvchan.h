#pragma once

// Byte streams between two domains, with the interface that programs for Qubes OS are written
// against: they compile and run as they are. libvchan(3) tells more; <bulkhead/vchan.h> has what
// this interface can't express, and the text of the last error.
//
// Who one is and where one meets comes from the environment: $VCHAN_DOMAIN is the own domain,
// $BULKHEAD_VCHAN the transport (`shm`, or `socket`: programs that use vchan-socket can be on the
// other side), $BULKHEAD_VCHAN_DIR or $VCHAN_SOCKET_DIR its directory. Without $BULKHEAD_VCHAN it
// is `socket` where $VCHAN_SOCKET_DIR is set and $BULKHEAD_VCHAN_DIR isn't, else `shm`.
// BULKHEAD_VCHAN_DEBUG=1 has every failure told on standard error.
//
// A channel belongs to one thread at a time. Functions that fail set `errno`. Blocking calls go on
// after a signal handler has run.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A descriptor to be polled. */
typedef int EVTCHN;

typedef struct libvchan libvchan_t;

/* What `libvchan_is_open` returns. */
#define VCHAN_DISCONNECTED 0 /* the other side has closed, died, or broken the protocol */
#define VCHAN_CONNECTED 1
#define VCHAN_WAITING 2 /* a server for its client, or a client for its server */

/*
 * Waits under this port for one client, the domain `domain`; returns at once. What is written
 * before the client comes is kept for it. The rings have at least so many bytes, from 1 to 1 MiB:
 * the next power of two.
 *
 * NULL with `errno`: EINVAL (sizes, or a domain or port below 0), EDESTADDRREQ ($VCHAN_DOMAIN isn't
 * a domain id), ELOOP (`domain` is oneself), EPROTONOSUPPORT (no such transport), EOPNOTSUPP
 * (`guest`, which comes with virtual machines), ENOENT (no directory), EPERM (others could replace
 * what is in it), EUCLEAN (its access rules can't be read), EACCES (they don't let this user be
 * this domain), EADDRINUSE (another server waits there), ENOSPC (the directory is full), EBUSY
 * (another process keeps it locked), EMFILE, ENOMEM, EIO (see the text).
 */
libvchan_t *libvchan_server_init(int domain, int port, size_t read_min, size_t write_min);

/*
 * Waits until the domain `domain` serves this port; the server has chosen the sizes. NULL as above
 * (but for EADDRINUSE) and with EDQUOT (limit of inotify), ECONNREFUSED (too many clients wait
 * there), EPROTOTYPE (the server speaks another version, or another transport), EBADMSG, EPROTO (it
 * says what makes no sense).
 */
libvchan_t *libvchan_client_init(int domain, int port);

/*
 * The same without waiting. When `*watch_fd` is readable one calls `…_finish`, until it returns 0
 * (connected; `blocking` as in `libvchan_set_blocking`) instead of 1 (go on waiting). A negative
 * value is the end, with `errno`; `libvchan_close` is due in any case. Meanwhile the other
 * functions find an empty channel (VCHAN_WAITING), or fail with EAGAIN.
 */
libvchan_t *libvchan_client_init_async(int domain, int port, EVTCHN *watch_fd);
int libvchan_client_init_async_finish(libvchan_t *ctrl, bool blocking);

/*
 * Return the number of bytes, or -1 with `errno`: EPIPE (the other side has ended), ECONNRESET (it
 * has died), EPROTO (it has broken the protocol). When blocking, `write` writes everything. When
 * not, it writes what fits, and `send` all or nothing; both return 0 if that is nothing as yet.
 * `send` fails with EMSGSIZE if the ring could never hold it, whether blocking or not.
 */
int libvchan_write(libvchan_t *ctrl, void const *data, size_t size);
int libvchan_send(libvchan_t *ctrl, void const *data, size_t size);

/*
 * Likewise: `read` returns what there is, at least a byte when blocking, and `recv` all of `size`
 * or, when not blocking, 0. What was sent before the other side ended is read first; `recv` fails
 * if that is less than `size`.
 */
int libvchan_read(libvchan_t *ctrl, void *data, size_t size);
int libvchan_recv(libvchan_t *ctrl, void *data, size_t size);

/*
 * Consumes one event, waiting for it whether blocking or not: the other side has come, or ended, or
 * done what the last calls of the two functions below, or reads and writes that found too little,
 * have asked for. What it was has to be looked up. Returns 0, or -1 with `errno`: as above, when no
 * event will come any more.
 */
int libvchan_wait(libvchan_t *ctrl);

/* Ends this side; the other can still read what was sent. */
void libvchan_close(libvchan_t *ctrl);

/* Readable as long as there is an event that `libvchan_wait` has not consumed. */
EVTCHN libvchan_fd_for_select(libvchan_t *ctrl);

/* One of the above; notices the death of the other side. */
int libvchan_is_open(libvchan_t *ctrl);

/* Bytes to read, room to write; the next change is an event. */
int libvchan_data_ready(libvchan_t *ctrl);
int libvchan_buffer_space(libvchan_t *ctrl);

/* Whether calls wait; a new channel does. */
void libvchan_set_blocking(libvchan_t *ctrl, bool blocking);

#ifdef __cplusplus
}
#endif
