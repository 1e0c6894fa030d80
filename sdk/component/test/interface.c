/* A component that sees nothing of ours but the header as it is installed. */
#include <bulkhead/component.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Bulkhead_component *component;

/* `test.Copy`: what comes back, through a buffer that is smaller than what is sent. */
typedef struct
{
	char bytes[64];
	size_t size;
	int used;
} Copy;

static Copy copies[4];

static void copy(void *context, Bulkhead_channel *channel)
{
	Copy *const at = context;
	while (1) {
		ssize_t n;
		if (at->size == 0) {
			n = bulkhead_channel_read(channel, at->bytes, sizeof(at->bytes));
			if (n == -EAGAIN) return;
			if (n <= 0) {
				at->used = 0;
				bulkhead_channel_exit(channel, n == 0 ? 4 : 1);
				return;
			}
			at->size = (size_t)n;
		}
		n = bulkhead_channel_write(channel, at->bytes, at->size);
		if (n == -EAGAIN) return;
		if (n < 0) {
			at->used = 0;
			bulkhead_channel_close(channel);
			return;
		}
		at->size -= (size_t)n;
		memmove(at->bytes, at->bytes + n, at->size);
	}
}

static void called_copy(void *context, Bulkhead_channel *channel, char const *service,
	char const *argument, char const *caller)
{
	size_t i;
	(void)context;
	(void)service;
	if (strcmp(caller, "web") == 0 || strcmp(argument, "complain") == 0) {
		bulkhead_channel_complain(channel, "not you");
		bulkhead_channel_exit(channel, 9);
		return;
	}
	for (i = 0; i < sizeof(copies) / sizeof(*copies); ++i) {
		if (copies[i].used) continue;
		copies[i].used = 1;
		copies[i].size = 0;
		bulkhead_channel_on_change(channel, copy, &copies[i]);
		copy(&copies[i], channel);
		return;
	}
	bulkhead_channel_close(channel);
}

/* `test.Ask`: calls test.Copy of the domain that the argument names, and tells how that went. */
typedef struct
{
	Bulkhead_channel *from, *to;
	char answer[64];
	size_t size;
	int sent, ended;
} Ask;

static Ask ask;

static void asked(void *context, Bulkhead_channel *channel)
{
	int code = 0;
	int result;
	char text[128];
	(void)context;
	(void)channel;
	if (!ask.sent) {
		ssize_t const n = bulkhead_channel_write(ask.to, "question", 8);
		if (n == -EAGAIN) return;
		ask.sent = 1;
		if (n == 8) bulkhead_channel_finish(ask.to);
	}
	while (!ask.ended) {
		ssize_t const n =
			bulkhead_channel_read(ask.to, ask.answer + ask.size, sizeof(ask.answer) - 1 - ask.size);
		if (n == -EAGAIN) return;
		if (n > 0) ask.size += (size_t)n;
		if (n <= 0) ask.ended = 1;
	}
	result = bulkhead_channel_exit_code(ask.to, &code);
	if (result == -EAGAIN) return;
	sprintf(text, "%s %d %d", ask.answer, code, result == -EACCES);
	bulkhead_channel_write(ask.from, text, strlen(text));
	bulkhead_channel_close(ask.to);
	bulkhead_channel_exit(ask.from, 0);
}

static void called_ask(void *context, Bulkhead_channel *channel, char const *service,
	char const *argument, char const *caller)
{
	(void)context;
	(void)service;
	(void)caller;
	memset(&ask, 0, sizeof(ask));
	ask.from = channel;
	ask.to = bulkhead_component_call(component, argument, "test.Copy");
	bulkhead_channel_on_change(ask.to, asked, NULL);
	asked(NULL, ask.to);
}

/* `test.Given`: what this component was given. */
static Bulkhead_channel *given;
static int pipe_ends[2];

static void ready(void *context, int fd, unsigned events)
{
	char const *const config = bulkhead_component_config(component, NULL);
	(void)context;
	bulkhead_component_watch(component, fd, 0, NULL, NULL);
	if (events & POLLIN) bulkhead_channel_write(given, config, strlen(config));
	bulkhead_channel_exit(given, 0);
}

static void later(void *context)
{
	(void)context;
	if (write(pipe_ends[1], "x", 1) != 1) bulkhead_component_stop(component, 3);
}

static void called_given(void *context, Bulkhead_channel *channel, char const *service,
	char const *argument, char const *caller)
{
	(void)context;
	(void)service;
	(void)argument;
	(void)caller;
	given = channel;
	bulkhead_component_watch(component, pipe_ends[0], POLLIN, ready, NULL);
	bulkhead_component_after(component, 1000, later, NULL);
}

int main(void)
{
	int code;
	component = bulkhead_component_start();
	if (!component) return 1;
	if (pipe(pipe_ends) != 0) return 1;
	if (bulkhead_component_serve(component, "", called_copy, NULL) != -EINVAL) return 1;
	if (bulkhead_component_device(component, "none") != -ENOENT) return 1;
	bulkhead_component_serve(component, "test.Copy", called_copy, NULL);
	bulkhead_component_serve(component, "test.Ask", called_ask, NULL);
	bulkhead_component_serve(component, "test.Given", called_given, NULL);
	bulkhead_component_log(component, BULKHEAD_LOG_INFO, bulkhead_component_name(component));
	code = bulkhead_component_run(component);
	bulkhead_component_end(component);
	return code;
}
