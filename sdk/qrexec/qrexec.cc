#include "sdk/qrexec/qrexec.h"

#include "platform/linux/clock.h"
#include "sdk/qrexec/call_streams.h"
#include "sdk/qrexec/service_socket.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <poll.h>

using namespace bulkhead;
using namespace bulkhead::qrexec;

struct Bulkhead_call
{
	Call_streams streams;
	std::string text{}; // of the last error

	explicit Bulkhead_call(bool keeps_errors) : streams(keeps_errors) {}
};

struct Bulkhead_service
{
	Service_socket socket{};
	std::string text{};
};

struct Bulkhead_request
{
	std::unique_ptr<Service_request> request;
};

static_assert(BULKHEAD_CALL_OUTPUT == Call_streams::OUTPUT &&
	BULKHEAD_CALL_ERRORS == Call_streams::ERRORS && BULKHEAD_CALL_INPUT == Call_streams::INPUT);
static_assert(BULKHEAD_CALL_ASKING == int(Call::State::ASKING) &&
	BULKHEAD_CALL_CONNECTING == int(Call::State::CONNECTING) &&
	BULKHEAD_CALL_OPEN == int(Call::State::OPEN) &&
	BULKHEAD_CALL_REFUSED == int(Call::State::REFUSED) &&
	BULKHEAD_CALL_ENDED == int(Call::State::ENDED) &&
	BULKHEAD_CALL_FAILED == int(Call::State::FAILED));
static_assert(BULKHEAD_CALL_BY_AGENT == int(Wanted_call::Way::AGENT) &&
	BULKHEAD_CALL_BY_DAEMON == int(Wanted_call::Way::DAEMON));
static_assert(BULKHEAD_CALL_EXIT_TROUBLE == EXIT_TROUBLE &&
	BULKHEAD_CALL_EXIT_REFUSED == EXIT_REFUSED &&
	BULKHEAD_CALL_EXIT_NO_SERVICE == EXIT_NO_SERVICE &&
	BULKHEAD_CALL_EXIT_DISCONNECTED == EXIT_DISCONNECTED);
static_assert(BULKHEAD_CALL_KEPT_MAX == Call_streams::KEPT_MAX);

namespace {

constexpr Bulkhead_call_options CALL_DEFAULTS = BULKHEAD_CALL_OPTIONS_INIT;
constexpr Bulkhead_service_options SERVICE_DEFAULTS = BULKHEAD_SERVICE_OPTIONS_INIT;

thread_local char text_of_thread[512];

int failed(int number, std::string_view text)
{
	size_t const n = text.copy(text_of_thread, sizeof(text_of_thread) - 1);
	text_of_thread[n] = '\0';
	return -number;
}

// Of a caller that knows fewer options the rest has defaults.
template <typename OPTIONS>
bool read_options(OPTIONS const *given, OPTIONS const &defaults, OPTIONS &options)
{
	options = defaults;
	if (!given) return true;
	if (given->size < sizeof(size_t) || given->size > sizeof(options)) return false;
	memcpy(&options, given, given->size);
	return true;
}

std::string text(char const *given) { return given ? given : ""; }

uint64_t deadline_us(int timeout_ms)
{
	if (timeout_ms < 0) return NEVER_US;
	uint64_t const now_us = linux_host::Monotonic_clock{}.now_us();
	return deadline_after_us(now_us, static_cast<uint64_t>(timeout_ms) * 1000);
}

std::string_view words_of(int number)
{
	switch (number) {
	case EPIPE: return "the service takes no more input";
	case ENOBUFS: return "the other stream has to be read first";
	case ETIMEDOUT: return "the time has passed";
	default: return strerror(number);
	}
}

// A call's own words, where it is the call that has failed.
ssize_t told(Bulkhead_call &call, ssize_t result)
{
	if (result >= 0 || result == -EAGAIN) return result;
	auto const number = static_cast<int>(-result);
	bool const of_call = number == call.streams.call().error_number();
	call.text = of_call ? call.streams.call().message() : words_of(number);
	return failed(number, call.text);
}

// Tries, has itself woken, tries once more, and waits.
template <typename ATTEMPT>
ssize_t until(Bulkhead_call &call, bool to_read, bool to_write, uint64_t until_us, ATTEMPT attempt)
{
	while (true) {
		ssize_t result = attempt();
		if (result != -EAGAIN || until_us == 0) return result;
		call.streams.call().arm(to_read, to_write);
		result = attempt();
		if (result != -EAGAIN) return result;
		if (int const error = call.streams.wait(until_us)) return -error;
	}
}

// Of a time of 0, which isn't looked up.
uint64_t until_when_us(int timeout_ms) { return timeout_ms == 0 ? 0 : deadline_us(timeout_ms); }

} // namespace

int bulkhead_call_start(Bulkhead_call **call, char const *target, char const *service,
	Bulkhead_call_options const *given)
{
	if (!call) return failed(EINVAL, "there is no place for the call");
	*call = nullptr;
	Bulkhead_call_options options;
	if (!read_options(given, CALL_DEFAULTS, options))
		return failed(EINVAL, "options: begin with BULKHEAD_CALL_OPTIONS_INIT");
	if (options.by != BULKHEAD_CALL_BY_AGENT && options.by != BULKHEAD_CALL_BY_DAEMON)
		return failed(EINVAL, "a call is made by the agent or by the daemon");
	if (options.own_domain < -1) return failed(EINVAL, "a domain id is 0 or above, or -1");
	Wanted_call wanted{.way = static_cast<Wanted_call::Way>(options.by),
		.socket = text(options.socket),
		.target = text(target),
		.service = text(service),
		.source = text(options.source),
		.command = text(options.command),
		.user = text(options.user),
		.transport = text(options.transport),
		.directory = text(options.directory),
		.own_domain = options.own_domain,
		.connect_timeout_us = options.connect_timeout_ms < 0
			? 0
			: static_cast<uint64_t>(options.connect_timeout_ms) * 1000,
		.ring_bytes = options.ring_bytes};
	auto made = std::make_unique<Bulkhead_call>(options.discard_errors == 0);
	made->streams.call().start(std::move(wanted));
	if (int const error = made->streams.call().error_number())
		return failed(error, made->streams.call().message());
	*call = made.release();
	return 0;
}

void bulkhead_call_close(Bulkhead_call *call) { delete call; }

void bulkhead_call_cancel(Bulkhead_call *call) { call->streams.call().cancel(); }

int bulkhead_call_fd(Bulkhead_call const *call) { return call->streams.call().fd(); }

int bulkhead_call_look(Bulkhead_call *call)
{
	return static_cast<int>(call->streams.call().look());
}

unsigned bulkhead_call_arm(Bulkhead_call *call, unsigned reasons)
{
	return call->streams.arm(reasons);
}

int bulkhead_call_state(Bulkhead_call const *call)
{
	return static_cast<int>(call->streams.call().state());
}

int bulkhead_call_open_wait(Bulkhead_call *call, int timeout_ms)
{
	auto const opened = [&] { return call->streams.opened(); };
	return static_cast<int>(
		told(*call, until(*call, false, false, until_when_us(timeout_ms), opened)));
}

ssize_t bulkhead_call_read(Bulkhead_call *call, int stream, void *to, size_t size, int timeout_ms)
{
	if (stream != BULKHEAD_CALL_OUTPUT && stream != BULKHEAD_CALL_ERRORS)
		return failed(EINVAL, "one reads BULKHEAD_CALL_OUTPUT or BULKHEAD_CALL_ERRORS");
	Stream const from = stream == BULKHEAD_CALL_OUTPUT ? Stream::OUT : Stream::ERR;
	Mutable_bytes const view{static_cast<uint8_t *>(to), std::min<size_t>(size, SSIZE_MAX)};
	auto const read = [&] { return call->streams.read(from, view); };
	return told(*call, until(*call, true, false, until_when_us(timeout_ms), read));
}

ssize_t bulkhead_call_write(Bulkhead_call *call, void const *from, size_t size, int timeout_ms)
{
	Bytes left{static_cast<uint8_t const *>(from), std::min<size_t>(size, SSIZE_MAX)};
	size_t const all = left.size();
	uint64_t const until_us = until_when_us(timeout_ms);
	while (!left.empty()) {
		auto const write = [&] { return call->streams.write(left); };
		ssize_t const n = told(*call, until(*call, false, true, until_us, write));
		if (n < 0 && left.size() == all) return n;
		if (n < 0) break;
		left = left.subspan(static_cast<size_t>(n));
	}
	return static_cast<ssize_t>(all - left.size());
}

int bulkhead_call_finish_input(Bulkhead_call *call, int timeout_ms)
{
	auto const finish = [&] { return call->streams.finish_input(); };
	return static_cast<int>(
		told(*call, until(*call, false, true, until_when_us(timeout_ms), finish)));
}

int bulkhead_call_exit_code(Bulkhead_call *call, int *code, int timeout_ms)
{
	auto const ended = [&] { return call->streams.ended(); };
	ssize_t const result = told(*call, until(*call, true, false, until_when_us(timeout_ms), ended));
	if (code) *code = call->streams.call().exit_code();
	return static_cast<int>(result);
}

char const *bulkhead_call_error(Bulkhead_call const *call)
{
	std::string const &of_call = call->streams.call().message();
	return of_call.empty() ? call->text.c_str() : of_call.c_str();
}

char const *bulkhead_call_last_error(void) { return text_of_thread; }

int bulkhead_service_listen(
	Bulkhead_service **service, char const *path, Bulkhead_service_options const *given)
{
	if (!service) return failed(EINVAL, "there is no place for the service");
	*service = nullptr;
	Bulkhead_service_options options;
	if (!read_options(given, SERVICE_DEFAULTS, options))
		return failed(EINVAL, "options: begin with BULKHEAD_SERVICE_OPTIONS_INIT");
	if (!path || !*path || options.mode > 0777)
		return failed(EINVAL, "a service has a path, and a mode up to 0777");
	auto made = std::make_unique<Bulkhead_service>();
	int const error = made->socket.listen(path, options.mode, options.skip_descriptor == 0);
	if (error) return failed(error, made->socket.message());
	*service = made.release();
	return 0;
}

void bulkhead_service_close(Bulkhead_service *service) { delete service; }

int bulkhead_service_fd(Bulkhead_service const *service) { return service->socket.fd(); }

int bulkhead_service_accept(Bulkhead_service *service, Bulkhead_request **request, int timeout_ms)
{
	if (!request) return failed(EINVAL, "there is no place for the request");
	*request = nullptr;
	uint64_t const until_us = until_when_us(timeout_ms);
	while (true) {
		std::unique_ptr<Service_request> next;
		if (int const error = service->socket.accept(next))
			return failed(error, service->socket.message());
		if (next) {
			*request = new Bulkhead_request{std::move(next)};
			return 0;
		}
		if (until_us == 0) return -EAGAIN;
		uint64_t const now_us = linux_host::Monotonic_clock{}.now_us();
		if (now_us >= until_us) return failed(ETIMEDOUT, words_of(ETIMEDOUT));
		bool const for_ever = until_us == NEVER_US;
		uint64_t const wait_ms = for_ever ? 60'000 : (until_us - now_us + 999) / 1000;
		pollfd entry{.fd = service->socket.fd(), .events = POLLIN, .revents = 0};
		if (poll(&entry, 1, static_cast<int>(std::min<uint64_t>(wait_ms, 60'000))) < 0)
			return failed(errno, strerror(errno));
	}
}

char const *bulkhead_service_error(Bulkhead_service const *service)
{
	return service->socket.message().c_str();
}

char const *bulkhead_request_service(Bulkhead_request const *request)
{
	return request->request->service.c_str();
}

char const *bulkhead_request_argument(Bulkhead_request const *request)
{
	auto const &argument = request->request->argument;
	return argument ? argument->c_str() : nullptr;
}

char const *bulkhead_request_source(Bulkhead_request const *request)
{
	return request->request->source.c_str();
}

char const *bulkhead_request_target(Bulkhead_request const *request, int *keyword)
{
	Service_request const &known = *request->request;
	if (keyword) *keyword = known.target_kind == Target_kind::KEYWORD;
	return known.target_kind == Target_kind::NONE ? nullptr : known.target.c_str();
}

uid_t bulkhead_request_uid(Bulkhead_request const *request) { return request->request->user; }

int bulkhead_request_fd(Bulkhead_request const *request)
{
	return request->request->stream.value();
}

int bulkhead_request_take_fd(Bulkhead_request *request)
{
	return request->request->stream.release();
}

void bulkhead_request_close(Bulkhead_request *request) { delete request; }
