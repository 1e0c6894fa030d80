// Sends back whatever a client sends, in the style of programs for Qubes OS: blocking calls, and
// select on the channel's descriptor. Knows <libvchan.h> and nothing else of ours.

#include <libvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>

static void await_event(libvchan_t *channel)
{
	fd_set readable;
	int const fd = libvchan_fd_for_select(channel);
	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	if (select(fd + 1, &readable, NULL, NULL, NULL) < 0 || !FD_ISSET(fd, &readable)) {
		perror("select");
		exit(1);
	}
	if (libvchan_wait(channel) < 0) {
		perror("libvchan_wait");
		exit(1);
	}
}

static void echo_some(libvchan_t *channel)
{
	char buffer[1000];
	int const size = libvchan_read(channel, buffer, sizeof(buffer));
	if (size < 0) {
		perror("libvchan_read");
		exit(1);
	}
	if (libvchan_write(channel, buffer, (size_t)size) != size) {
		perror("libvchan_write");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	libvchan_t *channel;

	if (argc != 3) {
		fprintf(stderr, "usage: %s DOMAIN PORT\n", argv[0]);
		return 2;
	}
	channel = libvchan_server_init(atoi(argv[1]), atoi(argv[2]), 4096, 4096);
	if (channel == NULL) {
		perror("libvchan_server_init");
		return 1;
	}
	while (libvchan_is_open(channel) == VCHAN_WAITING) await_event(channel);
	while (1) {
		while (libvchan_data_ready(channel) > 0) echo_some(channel);
		if (libvchan_is_open(channel) != VCHAN_CONNECTED) break;
		await_event(channel);
	}
	libvchan_close(channel);
	return 0;
}
