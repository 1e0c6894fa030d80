#pragma once

// What a component is given, for C and whatever calls C: its gate to the broker, its arguments, its
// devices, time and a log. All that takes time is told by callbacks from `bulkhead_component_run`;
// nothing blocks. bulkhead-component(3) tells more.
//
//	static void called(void *context, Bulkhead_channel *channel, char const *service,
//		char const *argument, char const *caller)
//	{
//		bulkhead_channel_write(channel, "hello\n", 6);
//		bulkhead_channel_exit(channel, 0);
//	}
//
//	int main(void)
//	{
//		Bulkhead_component *component = bulkhead_component_start();
//		if (!component) return 1; /* it has said why */
//		bulkhead_component_serve(component, "example.Hello", called, NULL);
//		return bulkhead_component_run(component);
//	}
//
// All belongs to one thread. Errors are negative numbers of <errno.h>.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Bulkhead_component Bulkhead_component;
/* One side of a call. */
typedef struct Bulkhead_channel Bulkhead_channel;

enum {
	BULKHEAD_LOG_ERROR = 0, /* something asked for was not done */
	BULKHEAD_LOG_WARNING = 1, /* done, but someone should look at it */
	BULKHEAD_LOG_INFO = 2,
	BULKHEAD_LOG_DEBUG = 3
};

/*
 * Takes over what the broker has started this process with. NULL: it wasn't started by one, which
 * was said on standard error.
 */
Bulkhead_component *bulkhead_component_start(void);
/* Not from a callback. Its channels are closed first. */
void bulkhead_component_end(Bulkhead_component *component);

/* The name of this domain. */
char const *bulkhead_component_name(Bulkhead_component const *component);
/* The text that the manifest gives this component, with a NUL behind it. */
char const *bulkhead_component_config(Bulkhead_component const *component, size_t *size);
/* The descriptor of a device of the manifest, the caller's from now on. -ENOENT (or taken before).
 */
int bulkhead_component_device(Bulkhead_component *component, char const *name);
/* A line of the domain's log; without an end of line, at most 256 bytes. */
void bulkhead_component_log(Bulkhead_component *component, int level, char const *text);

/*
 * Who takes the calls of a service; before `run`. "*": of all that nobody else takes. `argument` is
 * empty if there is none; the texts are valid during the call only. The channel is the taker's
 * until `exit` or `close`. -EINVAL: no name, or no taker.
 */
typedef void Bulkhead_called(void *context, Bulkhead_channel *channel, char const *service,
	char const *argument, char const *caller);
int bulkhead_component_serve(
	Bulkhead_component *component, char const *service, Bulkhead_called *called, void *context);

/*
 * Asks for a call. The channel is there at once, until `close`; what it is asked for is -EAGAIN
 * until the broker has answered, and -EACCES if that was no. Never NULL but without memory.
 */
Bulkhead_channel *bulkhead_component_call(
	Bulkhead_component *component, char const *target, char const *service);

/* Watches a descriptor for events of poll(2); 0: no more. -EINVAL: it can't be watched. */
typedef void Bulkhead_ready(void *context, int fd, unsigned events);
int bulkhead_component_watch(
	Bulkhead_component *component, int fd, unsigned events, Bulkhead_ready *ready, void *context);

/* Calls once, so many microseconds from now. -ENOMEM. */
typedef void Bulkhead_timer(void *context);
int bulkhead_component_after(
	Bulkhead_component *component, uint64_t delay_us, Bulkhead_timer *timer, void *context);

/* Tells the broker that services are ready; returns the exit code once it has ended us. */
int bulkhead_component_run(Bulkhead_component *component);
/* Has `run` return. */
void bulkhead_component_stop(Bulkhead_component *component, int exit_code);

/*
 * Told whenever something may go on that was -EAGAIN: a function is asked again then. NULL: nobody.
 */
typedef void Bulkhead_changed(void *context, Bulkhead_channel *channel);
void bulkhead_channel_on_change(
	Bulkhead_channel *channel, Bulkhead_changed *changed, void *context);

/*
 * Never wait. Errors of all: -EAGAIN, -EACCES (refused), -EPIPE (the other side has closed or
 * died), -EIO (it has broken the protocol), -EINVAL (the call can't be, or this side has ended).
 * `read`: bytes, at least one; 0: the stream has ended. `write`: how many were taken.
 */
ssize_t bulkhead_channel_read(Bulkhead_channel *channel, void *to, size_t size);
ssize_t bulkhead_channel_write(Bulkhead_channel *channel, void const *from, size_t size);
/* Ends what this side sends. */
int bulkhead_channel_finish(Bulkhead_channel *channel);
/* Caller: what the service has ended with; what it still sends is thrown away. */
int bulkhead_channel_exit_code(Bulkhead_channel *channel, int *code);
/* Service: a line for the caller's standard error; what doesn't fit now is lost. */
void bulkhead_channel_complain(Bulkhead_channel *channel, char const *text);
/* Service: the end of the call, and of the channel for us. */
void bulkhead_channel_exit(Bulkhead_channel *channel, int code);
/* Gives the channel up, from a callback or not. A service's caller has exit code 125. */
void bulkhead_channel_close(Bulkhead_channel *channel);

#ifdef __cplusplus
}
#endif
