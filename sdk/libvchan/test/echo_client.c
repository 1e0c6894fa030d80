// Sends so many bytes to an echo server and checks what comes back, both at once: calls that don't
// block, and select on the channel's descriptor. Knows <libvchan.h> and nothing else of ours.

#include <libvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>

static unsigned char byte_at(size_t position)
{
	return (unsigned char)(position * 7 + position / 256);
}

static size_t send_some(libvchan_t *channel, size_t position, size_t total)
{
	unsigned char buffer[1500];
	size_t size = total - position;
	size_t i;
	int written;

	if (size > sizeof(buffer)) size = sizeof(buffer);
	for (i = 0; i < size; ++i) buffer[i] = byte_at(position + i);
	written = libvchan_write(channel, buffer, size);
	if (written < 0) {
		perror("libvchan_write");
		exit(1);
	}
	return (size_t)written;
}

static size_t check_some(libvchan_t *channel, size_t position)
{
	unsigned char buffer[700];
	int i;
	int const size = libvchan_read(channel, buffer, sizeof(buffer));

	if (size < 0) {
		perror("libvchan_read");
		exit(1);
	}
	for (i = 0; i < size; ++i) {
		if (buffer[i] != byte_at(position + (size_t)i)) {
			fprintf(stderr, "another byte came back\n");
			exit(1);
		}
	}
	return (size_t)size;
}

int main(int argc, char **argv)
{
	libvchan_t *channel;
	size_t total, sent = 0, checked = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: %s DOMAIN PORT BYTES\n", argv[0]);
		return 2;
	}
	total = (size_t)atol(argv[3]);
	channel = libvchan_client_init(atoi(argv[1]), atoi(argv[2]));
	if (channel == NULL) {
		perror("libvchan_client_init");
		return 1;
	}
	libvchan_set_blocking(channel, false);
	while (checked < total) {
		size_t const before = sent + checked;
		sent += send_some(channel, sent, total);
		checked += check_some(channel, checked);
		if (sent + checked == before) {
			int const fd = libvchan_fd_for_select(channel);
			fd_set readable;
			FD_ZERO(&readable);
			FD_SET(fd, &readable);
			if (select(fd + 1, &readable, NULL, NULL, NULL) < 0 || libvchan_wait(channel) < 0) {
				perror("select");
				return 1;
			}
		}
	}
	libvchan_close(channel);
	printf("%zu\n", checked);
	return 0;
}
