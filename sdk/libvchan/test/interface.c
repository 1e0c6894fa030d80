// Each function of <bulkhead/vchan.h> once, with a channel between two domains in one thread, as a
// C program with an event loop uses them. Knows nothing else of ours.

#define _XOPEN_SOURCE 700 // mkdtemp

#include <bulkhead/vchan.h>
#include <errno.h>
#include <libvchan.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SERVER = 1, CLIENT = 2, PORT = 512 };

static int check_failed(char const *what, int line)
{
	fprintf(stderr, "interface.c:%d: %s: %s\n", line, what, bulkhead_vchan_last_error());
	return 1;
}

#define CHECK(condition) \
	do { \
		if (!(condition)) return check_failed(#condition, __LINE__); \
	} while (0)

static int meet(Bulkhead_vchan **server, Bulkhead_vchan **client, char const *directory)
{
	Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
	struct pollfd fds[2];

	options.transport = "shm";
	options.directory = directory;
	options.own_domain = SERVER;
	options.read_bytes = 100;
	CHECK(bulkhead_vchan_listen(server, CLIENT, PORT, &options) == 0);
	options.own_domain = CLIENT;
	CHECK(bulkhead_vchan_connect(client, SERVER, PORT, &options) == 0);
	bulkhead_vchan_arm(*server, BULKHEAD_VCHAN_PEER);
	bulkhead_vchan_arm(*client, BULKHEAD_VCHAN_PEER);
	fds[0].fd = bulkhead_vchan_fd(*server);
	fds[1].fd = bulkhead_vchan_fd(*client);
	fds[0].events = fds[1].events = POLLIN;
	while (bulkhead_vchan_state(*server) == BULKHEAD_VCHAN_WAITING ||
		bulkhead_vchan_state(*client) == BULKHEAD_VCHAN_WAITING) {
		CHECK(poll(fds, 2, -1) > 0);
		CHECK(bulkhead_vchan_look(*server) == 0);
		CHECK(bulkhead_vchan_look(*client) == 0);
	}
	CHECK(bulkhead_vchan_connect_wait(*client, -1) == 0);
	CHECK(bulkhead_vchan_connect_wait(*server, -1) == 0);
	return 0;
}

static int exchange(Bulkhead_vchan *server, Bulkhead_vchan *client)
{
	char text[16] = "";
	struct iovec parts[2];
	size_t readable, writable;

	bulkhead_vchan_capacity(server, &readable, &writable);
	CHECK(readable == 128 && writable == 65536);
	CHECK(bulkhead_vchan_write(client, "ab", 2, 0) == 2);
	CHECK(bulkhead_vchan_send(client, "cd", 2, 0) == 2);
	CHECK(bulkhead_vchan_wait(server, BULKHEAD_VCHAN_DATA, -1) == BULKHEAD_VCHAN_DATA);
	CHECK(bulkhead_vchan_recv(server, text, 3, 0) == 3);
	CHECK(bulkhead_vchan_read(server, text + 3, sizeof(text) - 3, 0) == 1);
	CHECK(strcmp(text, "abcd") == 0);
	CHECK(bulkhead_vchan_read(server, text, 1, 0) == -EAGAIN);

	parts[0].iov_base = text;
	parts[0].iov_len = 1;
	parts[1].iov_base = text + 1;
	parts[1].iov_len = 3;
	CHECK(bulkhead_vchan_writev(server, parts, 2, -1) == 4);
	CHECK(bulkhead_vchan_sendv(server, parts, 2, -1) == 4);
	CHECK(bulkhead_vchan_recvv(client, parts, 2, -1) == 4);
	CHECK(bulkhead_vchan_readv(client, parts, 2, -1) == 4);
	CHECK(strcmp(text, "abcd") == 0);
	return 0;
}

static int exchange_in_place(Bulkhead_vchan *server, Bulkhead_vchan *client)
{
	struct iovec pieces[2];
	Bulkhead_vchan_stats stats = {sizeof(stats), 1, 1};
	uid_t user;

	CHECK(bulkhead_vchan_reserve(client, pieces, 2) == 2);
	memset(pieces[0].iov_base, 'x', pieces[0].iov_len);
	memset(pieces[1].iov_base, 'x', pieces[1].iov_len);
	bulkhead_vchan_commit(client, 2);
	CHECK(bulkhead_vchan_peek(server, pieces, 100) == 2);
	CHECK(*(char *)pieces[0].iov_base == 'x');
	bulkhead_vchan_consume(server, 2);
	CHECK(bulkhead_vchan_peek(server, pieces, 100) == -EAGAIN);
	CHECK(bulkhead_vchan_peer_uid(server, &user) == 0);
	bulkhead_vchan_stats(server, &stats);
	bulkhead_vchan_finish(client);
	CHECK(bulkhead_vchan_state(server) == BULKHEAD_VCHAN_HALF_CLOSED);
	CHECK(bulkhead_vchan_peek(server, pieces, 100) == 0);
	CHECK(bulkhead_vchan_write(client, "x", 1, 0) == -ESHUTDOWN);
	CHECK(bulkhead_vchan_error(client)[0] != '\0');
	CHECK(bulkhead_vchan_adopt(&client, -1, -1, -1, BULKHEAD_VCHAN_CLIENT, 0) < 0);
	CHECK(libvchan_server_init(CLIENT, PORT, 0, 0) == NULL && errno == EINVAL);
	return 0;
}

int main(void)
{
	char directory[] = "/tmp/bulkhead-interface-XXXXXX";
	Bulkhead_vchan *server = NULL, *client = NULL;
	int failed;

	if (!mkdtemp(directory)) return 1;
	failed = meet(&server, &client, directory) || exchange(server, client) ||
		exchange_in_place(server, client);
	bulkhead_vchan_close(server);
	bulkhead_vchan_close(client);
	rmdir(directory);
	return failed;
}
