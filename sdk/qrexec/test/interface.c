// Every function of <bulkhead/qrexec.h> as a C program calls it: a service behind a socket, whose
// callers are sockets of this process, and calls that nobody takes.

#define _POSIX_C_SOURCE 200809L

#include <bulkhead/qrexec.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[] = "/tmp/bulkhead-qrexec-XXXXXX";

static void check(int true_or_not, char const *what)
{
	if (true_or_not) return;
	fprintf(stderr, "%s (%s)\n", what, bulkhead_call_last_error());
	exit(1);
}

static int connect_to(char const *path)
{
	struct sockaddr_un address;
	int const fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	check(connect(fd, (struct sockaddr const *)&address, sizeof(address)) == 0, "connect");
	return fd;
}

static void serve(char const *path)
{
	static char const said[] = "test.Service+arg work name vault\0input";
	Bulkhead_service_options options = BULKHEAD_SERVICE_OPTIONS_INIT;
	Bulkhead_service *service = NULL, *second = NULL;
	Bulkhead_request *request = NULL;
	char buffer[16];
	int caller, silent, fd, keyword = 1;

	options.mode = 0666;
	check(bulkhead_service_listen(&service, path, &options) == 0, "listen");
	check(bulkhead_service_listen(&second, path, NULL) == -EADDRINUSE && !second, "listen twice");
	check(bulkhead_service_fd(service) >= 0, "descriptor of the service");
	check(bulkhead_service_accept(service, &request, 0) == -EAGAIN && !request, "nobody");
	silent = connect_to(path);
	caller = connect_to(path);
	check(write(caller, said, sizeof(said) - 1) == (ssize_t)sizeof(said) - 1, "write");
	check(bulkhead_service_accept(service, &request, -1) == 0, "accept");
	check(strcmp(bulkhead_request_service(request), "test.Service") == 0, "service");
	check(strcmp(bulkhead_request_argument(request), "arg") == 0, "argument");
	check(strcmp(bulkhead_request_source(request), "work") == 0, "source");
	check(strcmp(bulkhead_request_target(request, &keyword), "vault") == 0 && !keyword, "target");
	check(bulkhead_request_uid(request) == getuid(), "user");
	check(read(bulkhead_request_fd(request), buffer, sizeof(buffer)) == 5, "input");
	check(memcmp(buffer, "input", 5) == 0, "input");
	fd = bulkhead_request_take_fd(request);
	bulkhead_request_close(request);
	check(write(fd, "output", 6) == 6 && close(fd) == 0, "output");
	check(read(caller, buffer, sizeof(buffer)) == 6, "output");
	check(read(caller, buffer, sizeof(buffer)) == 0, "its end");
	close(caller);
	close(silent);
	check(bulkhead_service_accept(service, &request, 0) == -EAGAIN, "nobody any more");
	check(strlen(bulkhead_service_error(service)) > 0, "words about who said nothing");
	bulkhead_service_close(service);
	bulkhead_service_close(NULL);
	check(access(path, F_OK) != 0, "the socket is still there");
}

static void call(char const *nowhere)
{
	Bulkhead_call_options options = BULKHEAD_CALL_OPTIONS_INIT;
	Bulkhead_call *call = NULL;

	options.socket = nowhere;
	check(bulkhead_call_start(&call, "vault", "test.Service", &options) == -ENOENT, "no agent");
	check(!call && strstr(bulkhead_call_last_error(), nowhere), "words about no agent");
	options.by = BULKHEAD_CALL_BY_DAEMON;
	check(bulkhead_call_start(&call, "vault", "test.Service", &options) == -ENOENT, "no daemon");
	check(bulkhead_call_start(&call, "vault", "test Service", &options) == -EINVAL, "a blank");
	options.by = 2;
	check(bulkhead_call_start(&call, "vault", "test.Service", &options) == -EINVAL, "by whom");
	options.size = sizeof(options) + 1;
	check(bulkhead_call_start(&call, "vault", "test.Service", &options) == -EINVAL, "options");
	check(bulkhead_call_start(NULL, "vault", "test.Service", NULL) == -EINVAL, "no place");
	bulkhead_call_close(NULL);
}

/* Not carried out; that they are there is the linker's business. */
static void rest(Bulkhead_call *call)
{
	int code = 0;
	char byte = 0;

	bulkhead_call_look(call);
	bulkhead_call_arm(call, BULKHEAD_CALL_OUTPUT | BULKHEAD_CALL_ERRORS | BULKHEAD_CALL_INPUT);
	bulkhead_call_fd(call);
	bulkhead_call_state(call);
	bulkhead_call_open_wait(call, 0);
	bulkhead_call_write(call, &byte, 1, 0);
	bulkhead_call_finish_input(call, 0);
	bulkhead_call_read(call, BULKHEAD_CALL_OUTPUT, &byte, 1, 0);
	bulkhead_call_exit_code(call, &code, 0);
	bulkhead_call_cancel(call);
	puts(bulkhead_call_error(call));
	bulkhead_call_close(call);
}

int main(int argc, char **argv)
{
	char path[128];

	(void)argv;
	if (argc > 1000) rest(NULL);
	check(mkdtemp(directory) != NULL, "directory");
	snprintf(path, sizeof(path), "%s/test.Service", directory);
	serve(path);
	call(path);
	check(rmdir(directory) == 0, "something was left behind");
	return 0;
}
