#pragma once

// Calls between domains, without processes: a program makes any number of them at once in one
// thread, or serves them behind a socket in a directory of services. bulkhead-qrexec(3) tells more.
//
//	Bulkhead_call *call = NULL;
//	if (bulkhead_call_start(&call, "vault", "sign.Document", NULL) < 0)
//		die(bulkhead_call_last_error());
//	bulkhead_call_write(call, document, size, -1);
//	bulkhead_call_finish_input(call, -1);
//	while ((n = bulkhead_call_read(call, BULKHEAD_CALL_OUTPUT, buffer, sizeof(buffer), -1)) > 0)
//		use(buffer, n);
//	if (bulkhead_call_exit_code(call, &code, -1) < 0) die(bulkhead_call_error(call));
//	bulkhead_call_close(call);
//
// A call and a service belong to one thread at a time. Errors are negative numbers of <errno.h>.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Bulkhead_call Bulkhead_call;
typedef struct Bulkhead_service Bulkhead_service;
typedef struct Bulkhead_request Bulkhead_request;

/* Streams, and reasons to wake up. */
enum {
	BULKHEAD_CALL_OUTPUT = 1, /* the service's standard output */
	BULKHEAD_CALL_ERRORS = 2, /* and its standard error */
	BULKHEAD_CALL_INPUT = 4 /* room for its standard input */
};

enum {
	BULKHEAD_CALL_ASKING = 1, /* the agent, or the daemon, whether it may */
	BULKHEAD_CALL_CONNECTING = 2, /* allowed; the service's side is awaited */
	BULKHEAD_CALL_OPEN = 3,
	BULKHEAD_CALL_REFUSED = 4, /* by the policy, or since no message could carry it */
	BULKHEAD_CALL_ENDED = 5, /* with an exit code */
	BULKHEAD_CALL_FAILED = 6
};

/* Who is asked. */
enum {
	BULKHEAD_CALL_BY_AGENT = 0, /* within a domain: the policy decides */
	BULKHEAD_CALL_BY_DAEMON = 1 /* on the host, which may call whatever it likes */
};

/* Exit codes that aren't a service's. */
enum {
	BULKHEAD_CALL_EXIT_TROUBLE = 125,
	BULKHEAD_CALL_EXIT_REFUSED = 126,
	BULKHEAD_CALL_EXIT_NO_SERVICE = 127, /* told by the other side */
	BULKHEAD_CALL_EXIT_DISCONNECTED = 255 /* it has gone without an exit code */
};

/* Bytes of OUTPUT that are kept while ERRORS are read, and the other way round. */
enum { BULKHEAD_CALL_KEPT_MAX = 65536 };

/*
 * What may be said about a call. Begin with BULKHEAD_CALL_OPTIONS_INIT; strings are copied, and
 * null is as good as empty.
 */
typedef struct
{
	size_t size; /* of this structure, as the caller knows it */
	int by; /* BULKHEAD_CALL_BY_AGENT or _BY_DAEMON */
	char const *socket; /* of the agent; of daemons their directory; null: the usual one */
	char const *source; /* by agent: a RemoteVM that this domain relays for */
	char const *command; /* by daemon, instead of a service: "user:command" */
	char const *user; /* by daemon: who the service runs as; null: the domain's default */
	char const *transport; /* "shm" or "socket"; null: as for <bulkhead/vchan.h> */
	char const *directory; /* where domains meet; null: the transport's own */
	int own_domain; /* -1: $VCHAN_DOMAIN */
	int connect_timeout_ms; /* how long the service's side may take to come; -1: for ever */
	int discard_errors; /* 1: what the service writes to its standard error is thrown away */
	size_t ring_bytes; /* each way */
} Bulkhead_call_options;

/* clang-format off */
#define BULKHEAD_CALL_OPTIONS_INIT \
	{sizeof(Bulkhead_call_options), BULKHEAD_CALL_BY_AGENT, NULL, NULL, NULL, NULL, NULL, NULL, \
		-1, -1, 0, 524288}
/* clang-format on */

/*
 * Begins a call of `service` (or "service+argument") in the domain `target`: a name or a keyword of
 * the policy; null or empty: the policy's default. Doesn't block, and doesn't wait for the answer.
 * `*call` is null if it fails. Errors:
 *
 *	-EINVAL       options; or a name that can't be one
 *	-EMSGSIZE     a name that no message could carry
 *	-ENOENT       no agent or daemon listens there
 *	-EPERM        this user may not connect to it
 *	-EMFILE, -EIO
 */
int bulkhead_call_start(Bulkhead_call **call, char const *target, char const *service,
	Bulkhead_call_options const *options);

/* Ends it, if it hasn't ended, and frees it. Null is fine. */
void bulkhead_call_close(Bulkhead_call *call);

/* Ends it at once: FAILED. The service sees its caller gone. */
void bulkhead_call_cancel(Bulkhead_call *call);

/*
 * For an event loop. `fd` is readable when `look` has something to do, and the same for the whole
 * life of the call; `look` takes in what has happened and returns the state. `arm` has `fd` become
 * readable when one of these reasons may be there, and returns those that are there already: wait
 * only if there are none. What was armed holds until the next `look`; the state's changes are
 * always told.
 */
int bulkhead_call_fd(Bulkhead_call const *call);
int bulkhead_call_look(Bulkhead_call *call);
unsigned bulkhead_call_arm(Bulkhead_call *call, unsigned reasons);

/* One of BULKHEAD_CALL_ASKING and so on. */
int bulkhead_call_state(Bulkhead_call const *call);

/*
 * In all that follows, `timeout_ms` is how long to wait at most: 0 not at all, -1 without limit.
 * Errors:
 *
 *	-EAGAIN      nothing yet, and no time was given
 *	-ETIMEDOUT   the time has passed; or that for the service's side to come: FAILED then
 *	-EINTR       a signal handler has run
 *	-EACCES      REFUSED
 *	-ECONNRESET  the other side has gone without an exit code
 *	-ECANCELED   by `bulkhead_call_cancel`
 *	-EPROTO, -EBADMSG, -EPROTOTYPE
 *	             the other side, or the daemon, has broken the protocol or speaks another version
 *
 * and those of `bulkhead_vchan_listen`. What came before the end can be read after it.
 */

/* Waits until the service's side is there. Returns 0. */
int bulkhead_call_open_wait(Bulkhead_call *call, int timeout_ms);

/*
 * Reads what there is of OUTPUT or ERRORS, at least a byte; 0: the stream has ended. Also:
 * -ENOBUFS (BULKHEAD_CALL_KEPT_MAX bytes of the other stream have to be read first).
 */
ssize_t bulkhead_call_read(Bulkhead_call *call, int stream, void *to, size_t size, int timeout_ms);

/*
 * Bytes of the service's standard input that were written: all, or what could be when the time had
 * passed, a signal came or the service took no more. An error means none. Also: -EPIPE (it takes no
 * more, for which it may have good reasons: its output and exit code tell).
 */
ssize_t bulkhead_call_write(Bulkhead_call *call, void const *from, size_t size, int timeout_ms);

/* Ends the service's standard input. Returns 0. Also: -EPIPE. */
int bulkhead_call_finish_input(Bulkhead_call *call, int timeout_ms);

/*
 * Waits for the end; returns 0 and the service's exit code. With an error other than the first
 * three and -ENOBUFS `*code` says what a program should return. Also: -ENOBUFS (there is more
 * output before the end than is kept: read it first).
 */
int bulkhead_call_exit_code(Bulkhead_call *call, int *code, int timeout_ms);

/*
 * What went wrong with this call, and what did last in this thread, in words. Empty if nothing has;
 * valid until the next call of a function with it.
 */
char const *bulkhead_call_error(Bulkhead_call const *call);
char const *bulkhead_call_last_error(void);

/* What may be said about a service. Begin with BULKHEAD_SERVICE_OPTIONS_INIT. */
typedef struct
{
	size_t size; /* of this structure, as the caller knows it */
	unsigned mode; /* who may connect; the agent does so as root */
	int skip_descriptor; /* 1: as the service's settings say: it isn't told which call it is */
} Bulkhead_service_options;

/* clang-format off */
#define BULKHEAD_SERVICE_OPTIONS_INIT {sizeof(Bulkhead_service_options), 0600, 0}
/* clang-format on */

/*
 * Serves calls behind a socket, whose file is the service: /etc/qubes-rpc/NAME, or NAME+ARGUMENT. A
 * socket that nobody listens on is replaced. Errors: -EINVAL, -EADDRINUSE (somebody listens there,
 * or it is no socket), -ENOENT (no such directory), -ENAMETOOLONG, -EACCES, -EMFILE.
 */
int bulkhead_service_listen(
	Bulkhead_service **service, char const *path, Bulkhead_service_options const *options);

/* Serves no more, and removes the socket; requests live on. Null is fine. */
void bulkhead_service_close(Bulkhead_service *service);

/* Readable when `accept` has something to do. */
int bulkhead_service_fd(Bulkhead_service const *service);

/*
 * The next call; returns 0. One that has connected and said nothing keeps nobody waiting. Errors:
 * -EAGAIN, -ETIMEDOUT, -EINTR, -EMFILE, -ENFILE (close something first).
 */
int bulkhead_service_accept(Bulkhead_service *service, Bulkhead_request **request, int timeout_ms);

char const *bulkhead_service_error(Bulkhead_service const *service);

/*
 * Whom the call is for, and from. The argument is null if the call has none ("service+" has an
 * empty one). The target is how the caller has called this domain, and only known on a host; a
 * keyword comes without its "@", and `keyword` is 1 then.
 */
char const *bulkhead_request_service(Bulkhead_request const *request);
char const *bulkhead_request_argument(Bulkhead_request const *request);
char const *bulkhead_request_source(Bulkhead_request const *request);
char const *bulkhead_request_target(Bulkhead_request const *request, int *keyword);

/* Of the process that has connected: the agent's user. */
uid_t bulkhead_request_uid(Bulkhead_request const *request);

/*
 * The stream of the call, a socket that blocks: what is read is the caller's standard input, what
 * is written its output, which `shutdown(fd, SHUT_WR)` ends. `take_fd` gives it to the caller;
 * otherwise `close` closes it. The exit code is 0, whatever happens.
 */
int bulkhead_request_fd(Bulkhead_request const *request);
int bulkhead_request_take_fd(Bulkhead_request *request);
void bulkhead_request_close(Bulkhead_request *request);

#ifdef __cplusplus
}
#endif
