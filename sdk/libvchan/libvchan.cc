#include "sdk/libvchan/libvchan.h"

#include "platform/linux/descriptor.h"
#include "sdk/libvchan/channel.h"
#include "sdk/libvchan/errors.h"
#include "sdk/libvchan/rendezvous.h"

#include <cerrno>
#include <limits>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

using namespace bulkhead;
using linux_host::Owned_fd;
using sdk::Channel;
using sdk::NOW_US;
using vchan::State;
namespace sleep_for = vchan::sleep_for;

/*
 * A channel and its events. An event is there until `libvchan_wait`, but other calls may have to
 * look at the transport, too, which ends its descriptor's being readable. So what they find is kept
 * in mind, and `fd_for_select` watches both the transport and what is kept in mind.
 */
struct libvchan
{
	Channel channel;
	bool blocking = true;
	bool connecting = false; // `client_init_async` without `finish`

	Owned_fd selectable{}; // epoll: the transport, and
	Owned_fd reminder{}; // eventfd: `pending`
	bool pending = false;

	// What changes of these are events: asked for and not yet delivered. Bytes count from the
	// beginning, so that what this side takes and what comes don't look like nothing together.
	uint32_t wanted = sleep_for::DATA;
	uint64_t seen_in = 0;
	uint64_t seen_out = 0;
	State seen_state;
	uint64_t taken = 0;
	uint64_t put = 0;
	bool uses_events = false; // else nobody pays for them

	explicit libvchan(std::unique_ptr<sdk::Transport> transport)
		: channel(std::move(transport), Channel::SPIN_OF_TRANSPORT, true),
		  seen_state(channel.transport().state())
	{}

	size_t readable();
	size_t writable();
	void remind();
	void forget();
	void arm();
	void use_events();
	bool changed();
	void want(uint32_t reason);
	void used();
	void delivered();
	bool take_in();
	bool ended();
	int wait();

	template <typename CALL>
	ssize_t blocking_call(CALL const &);
	template <typename CALL>
	ssize_t call(uint32_t reason, CALL const &);
};

namespace {

constexpr size_t RING_MAX = 1U << 20; // of this interface

bool readable_fd(int fd)
{
	pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
	return poll(&entry, 1, 0) == 1;
}

int failed_with(int number, std::string_view text)
{
	sdk::note_error(number, text);
	return number;
}

libvchan_t *failed(int number, std::string_view text)
{
	errno = failed_with(number, text);
	return nullptr;
}

ssize_t counted(ssize_t result, uint64_t &total)
{
	if (result > 0) total += static_cast<uint64_t>(result);
	return result;
}

libvchan_t *open(sdk::Wanted const &wanted)
{
	int error = 0;
	std::string why;
	auto transport = sdk::open_transport(nullptr, wanted, error, why);
	if (!transport) return failed(error, why);
	return new libvchan(std::move(transport));
}

libvchan_t *open_client(int domain, int port)
{
	return open({.server = false, .own = sdk::OWN_FROM_ENVIRONMENT, .peer = domain, .port = port});
}

// What a function of this interface returns for a result of a channel's.
int returned(ssize_t result)
{
	if (result >= 0) return static_cast<int>(result);
	errno = static_cast<int>(-result);
	return -1;
}

} // namespace

size_t libvchan::readable()
{
	auto const bytes = channel.transport().readable();
	return bytes.ok() ? bytes.value() : 0;
}

size_t libvchan::writable()
{
	auto const bytes = channel.transport().writable();
	return bytes.ok() ? bytes.value() : 0;
}

void libvchan::remind()
{
	if (pending) return;
	pending = true;
	if (reminder) (void)eventfd_write(reminder.value(), 1);
}

void libvchan::forget()
{
	if (!pending) return;
	pending = false;
	eventfd_t count = 0;
	if (reminder) (void)eventfd_read(reminder.value(), &count);
}

void libvchan::arm() { channel.transport().arm(wanted | sleep_for::PEER); }

// Until now nothing was said about what is waited for; what is there already is an event.
void libvchan::use_events()
{
	if (uses_events) return;
	uses_events = true;
	seen_in = taken;
	arm();
	if (changed()) remind();
}

// Whether there is something that an event would have told, had nobody looked.
bool libvchan::changed()
{
	return (wanted & sleep_for::DATA && taken + readable() != seen_in) ||
		(wanted & sleep_for::ROOM && put + writable() != seen_out) ||
		channel.transport().state() != seen_state;
}

// From here on a change is an event. One that was there before, and that nobody has waited for,
// still is: the transport may forget it when it is asked how much there is. So it is asked once.
void libvchan::want(uint32_t reason)
{
	use_events();
	channel.transport().arm(wanted | reason | sleep_for::PEER);
	uint64_t const in = reason & sleep_for::DATA ? taken + readable() : seen_in;
	uint64_t const out = reason & sleep_for::ROOM ? put + writable() : seen_out;
	if ((wanted & sleep_for::DATA && in != seen_in) ||
		(wanted & sleep_for::ROOM && out != seen_out))
		remind();
	wanted |= reason;
	seen_in = in;
	seen_out = out;
}

// The same of what was read or written before anybody has waited for it.
void libvchan::used()
{
	if (!uses_events) return;
	if ((wanted & sleep_for::DATA && taken > seen_in) ||
		(wanted & sleep_for::ROOM && put > seen_out))
		remind();
}

// An event has been told: what has changed needs no other.
void libvchan::delivered()
{
	if (taken + readable() != seen_in) wanted &= ~sleep_for::DATA;
	if (put + writable() != seen_out) wanted &= ~sleep_for::ROOM;
	seen_state = channel.transport().state();
	arm();
	if (changed()) remind();
}

// Looks whether there is something new for a call that is about to answer "nothing yet".
bool libvchan::take_in()
{
	if (!readable_fd(channel.transport().fd())) return false;
	(void)channel.look();
	arm();
	remind();
	return true;
}

bool libvchan::ended()
{
	State const state = channel.transport().state();
	return state == State::CLOSED || state == State::DEAD || state == State::BROKEN;
}

// A call that may sleep has perhaps heard of something that others wait for, too.
template <typename CALL>
ssize_t libvchan::blocking_call(CALL const &call)
{
	uint64_t const slept = channel.sleeps();
	ssize_t const result = call(NEVER_US);
	used();
	if (uses_events && channel.sleeps() != slept) {
		arm();
		if (changed()) remind();
	}
	return result;
}

// 0 if it can't be done yet and must not wait.
template <typename CALL>
ssize_t libvchan::call(uint32_t reason, CALL const &call)
{
	if (connecting) return -EAGAIN;
	if (blocking) return blocking_call(call);
	ssize_t result = call(NOW_US);
	if (result == -EAGAIN) {
		want(reason);
		result = call(NOW_US);
	}
	if (result == -EAGAIN && take_in()) {
		want(reason);
		result = call(NOW_US);
	}
	used();
	return result == -EAGAIN ? 0 : result;
}

int libvchan::wait()
{
	use_events();
	if (pending) {
		forget();
		// What the transport has to say is one with it.
		(void)channel.look();
	} else if (ended() && !readable_fd(channel.transport().fd())) {
		auto const why = channel.transport().readable();
		return -failed_with(why.ok() ? EPIPE : sdk::errno_of(why.error()),
			"the channel has ended, nothing will come any more");
	} else {
		// Who sleeps may as well hear of data.
		channel.transport().arm(wanted | sleep_for::DATA | sleep_for::PEER);
		if (int const error = channel.wait_for_event()) return -error;
	}
	delivered();
	return 0;
}

libvchan_t *libvchan_server_init(int domain, int port, size_t read_min, size_t write_min)
{
	if (read_min == 0 || write_min == 0 || read_min > RING_MAX || write_min > RING_MAX)
		return failed(EINVAL, "rings have from 1 byte to 1 MiB each");
	return open({.server = true,
		.own = sdk::OWN_FROM_ENVIRONMENT,
		.peer = domain,
		.port = port,
		.read_bytes = read_min,
		.write_bytes = write_min});
}

libvchan_t *libvchan_client_init(int domain, int port)
{
	libvchan_t *const ctrl = open_client(domain, port);
	if (!ctrl) return nullptr;
	int const result = ctrl->channel.wait_for_peer(NEVER_US);
	ctrl->seen_state = ctrl->channel.transport().state();
	if (result == 0) return ctrl;
	libvchan_close(ctrl);
	errno = -result;
	return nullptr;
}

libvchan_t *libvchan_client_init_async(int domain, int port, EVTCHN *watch_fd)
{
	libvchan_t *const ctrl = open_client(domain, port);
	if (!ctrl) return nullptr;
	ctrl->connecting = true;
	ctrl->seen_state = State::WAITING; // it may have been there at once: that is an event, too
	*watch_fd = libvchan_fd_for_select(ctrl);
	if (*watch_fd >= 0) return ctrl;
	int const error = errno;
	libvchan_close(ctrl);
	errno = error;
	return nullptr;
}

int libvchan_client_init_async_finish(libvchan_t *ctrl, bool blocking)
{
	ctrl->forget();
	if (int const error = ctrl->channel.look()) return returned(-error);
	ctrl->seen_state = ctrl->channel.transport().state();
	// What a server has sent before its client came is an event like what it sends later.
	ctrl->arm();
	if (ctrl->changed()) ctrl->remind();
	if (ctrl->seen_state == State::WAITING) return 1;
	ctrl->connecting = false;
	ctrl->blocking = blocking;
	return 0;
}

int libvchan_write(libvchan_t *ctrl, void const *data, size_t size)
{
	if (size > std::numeric_limits<int>::max()) return returned(-EINVAL);
	Bytes view{static_cast<uint8_t const *>(data), size};
	ssize_t const result = ctrl->call(sleep_for::ROOM, [&](uint64_t until_us) {
		return counted(ctrl->channel.write({&view, 1}, until_us), ctrl->put);
	});
	if (result < 0 || static_cast<size_t>(result) == size) return returned(result);
	if (ctrl->blocking) return returned(-ctrl->channel.error());
	ctrl->want(sleep_for::ROOM);
	return returned(result);
}

int libvchan_send(libvchan_t *ctrl, void const *data, size_t size)
{
	Bytes const view{static_cast<uint8_t const *>(data), size};
	ssize_t const result = ctrl->call(sleep_for::ROOM, [&](uint64_t until_us) {
		return counted(ctrl->channel.send({&view, 1}, until_us), ctrl->put);
	});
	return returned(result);
}

int libvchan_read(libvchan_t *ctrl, void *data, size_t size)
{
	Mutable_bytes const view{static_cast<uint8_t *>(data), size};
	ssize_t const result = ctrl->call(sleep_for::DATA, [&](uint64_t until_us) {
		ssize_t const n = counted(ctrl->channel.read({&view, 1}, until_us), ctrl->taken);
		return n == 0 && size > 0 ? -failed_with(EPIPE, "other end closed") : n;
	});
	if (ctrl->uses_events && result > 0 && static_cast<size_t>(result) < size)
		ctrl->want(sleep_for::DATA);
	return returned(result);
}

int libvchan_recv(libvchan_t *ctrl, void *data, size_t size)
{
	Mutable_bytes const view{static_cast<uint8_t *>(data), size};
	ssize_t const result = ctrl->call(sleep_for::DATA, [&](uint64_t until_us) {
		return counted(ctrl->channel.receive({&view, 1}, until_us), ctrl->taken);
	});
	return returned(result);
}

int libvchan_wait(libvchan_t *ctrl) { return returned(ctrl->wait()); }

void libvchan_close(libvchan_t *ctrl)
{
	if (!ctrl) return;
	ctrl->channel.transport().close();
	delete ctrl;
}

EVTCHN libvchan_fd_for_select(libvchan_t *ctrl)
{
	if (ctrl->selectable) return ctrl->selectable.value();
	ctrl->use_events();
	Owned_fd both{epoll_create1(EPOLL_CLOEXEC)};
	Owned_fd reminder{eventfd(ctrl->pending ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK)};
	epoll_event event{.events = EPOLLIN, .data = {}};
	bool const made = both && reminder &&
		epoll_ctl(both.value(), EPOLL_CTL_ADD, ctrl->channel.transport().fd(), &event) == 0 &&
		epoll_ctl(both.value(), EPOLL_CTL_ADD, reminder.value(), &event) == 0;
	if (!made) return returned(-failed_with(errno, "no descriptor could be made"));
	ctrl->reminder = std::move(reminder);
	ctrl->selectable = std::move(both);
	return ctrl->selectable.value();
}

int libvchan_is_open(libvchan_t *ctrl)
{
	if (!ctrl->ended()) ctrl->take_in();
	if (ctrl->ended() || ctrl->channel.failed()) return VCHAN_DISCONNECTED;
	State const state = ctrl->channel.transport().state();
	return ctrl->connecting || state == State::WAITING ? VCHAN_WAITING : VCHAN_CONNECTED;
}

int libvchan_data_ready(libvchan_t *ctrl)
{
	ctrl->want(sleep_for::DATA);
	if (ctrl->seen_in == ctrl->taken && ctrl->take_in()) ctrl->want(sleep_for::DATA);
	return static_cast<int>(ctrl->seen_in - ctrl->taken);
}

int libvchan_buffer_space(libvchan_t *ctrl)
{
	ctrl->want(sleep_for::ROOM);
	if (ctrl->seen_out == ctrl->put && ctrl->take_in()) ctrl->want(sleep_for::ROOM);
	return static_cast<int>(ctrl->seen_out - ctrl->put);
}

void libvchan_set_blocking(libvchan_t *ctrl, bool blocking) { ctrl->blocking = blocking; }
