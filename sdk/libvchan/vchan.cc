#include "sdk/libvchan/vchan.h"

#include "platform/linux/clock.h"
#include "sdk/libvchan/channel.h"
#include "sdk/libvchan/errors.h"
#include "sdk/libvchan/rendezvous.h"
#include "sdk/libvchan/shm_transport.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <vector>

using namespace bulkhead;
using sdk::Channel;
namespace sleep_for = vchan::sleep_for;

struct Bulkhead_vchan
{
	Channel channel;

	Bulkhead_vchan(std::unique_ptr<sdk::Transport> transport, int spin)
		: channel(std::move(transport), spin, false)
	{}
};

static_assert(BULKHEAD_VCHAN_DATA == sleep_for::DATA && BULKHEAD_VCHAN_ROOM == sleep_for::ROOM &&
	BULKHEAD_VCHAN_PEER == sleep_for::PEER);
static_assert(BULKHEAD_VCHAN_WAITING == static_cast<int>(vchan::State::WAITING) &&
	BULKHEAD_VCHAN_CONNECTED == static_cast<int>(vchan::State::CONNECTED) &&
	BULKHEAD_VCHAN_HALF_CLOSED == static_cast<int>(vchan::State::HALF_CLOSED) &&
	BULKHEAD_VCHAN_CLOSED == static_cast<int>(vchan::State::CLOSED) &&
	BULKHEAD_VCHAN_DEAD == static_cast<int>(vchan::State::DEAD) &&
	BULKHEAD_VCHAN_BROKEN == static_cast<int>(vchan::State::BROKEN));
static_assert(BULKHEAD_VCHAN_SERVER == static_cast<int>(vchan::Role::SERVER) &&
	BULKHEAD_VCHAN_CLIENT == static_cast<int>(vchan::Role::CLIENT));
static_assert(BULKHEAD_VCHAN_RING_MAX == vchan::RING_MAX);
static_assert(BULKHEAD_VCHAN_SPIN_MAX == Channel::SPIN_MAX);

namespace {

constexpr Bulkhead_vchan_options DEFAULTS = BULKHEAD_VCHAN_OPTIONS_INIT;

int failed(int number, std::string_view text)
{
	sdk::note_error(number, text);
	return -number;
}

// Of a caller that knows fewer options the rest has defaults.
bool read_options(Bulkhead_vchan_options const *given, Bulkhead_vchan_options &options)
{
	options = DEFAULTS;
	if (!given) return true;
	if (given->size < sizeof(size_t) || given->size > sizeof(options)) return false;
	memcpy(&options, given, given->size);
	return options.spin >= Channel::SPIN_OF_TRANSPORT && options.spin <= BULKHEAD_VCHAN_SPIN_MAX;
}

int open_channel(Bulkhead_vchan **channel, bool server, int domain, int port,
	Bulkhead_vchan_options const *given)
{
	if (!channel) return failed(EINVAL, "there is no place for the channel");
	*channel = nullptr;
	Bulkhead_vchan_options options;
	if (!read_options(given, options))
		return failed(
			EINVAL, "options: begin with BULKHEAD_VCHAN_OPTIONS_INIT; spin is -1 to 4096");
	size_t const largest = std::max(options.read_bytes, options.write_bytes);
	if (server && (largest == 0 || largest > BULKHEAD_VCHAN_RING_MAX))
		return failed(EINVAL, "rings have up to 64 MiB, and one of them at least a byte");
	if (options.own_domain < sdk::OWN_FROM_ENVIRONMENT)
		return failed(EINVAL, "the own domain id is 0 or above, or -1: from VCHAN_DOMAIN");
	sdk::Wanted const wanted{.server = server,
		.own = options.own_domain,
		.peer = domain,
		.port = port,
		.read_bytes = options.read_bytes,
		.write_bytes = options.write_bytes,
		.directory = options.directory ? options.directory : ""};
	int error = 0;
	std::string why;
	auto transport = sdk::open_transport(options.transport, wanted, error, why);
	if (!transport) return failed(error, why);
	*channel = new Bulkhead_vchan(std::move(transport), options.spin);
	return 0;
}

uint64_t deadline_us(int timeout_ms)
{
	if (timeout_ms < 0) return NEVER_US;
	if (timeout_ms == 0) return sdk::NOW_US;
	uint64_t const now_us = linux_host::Monotonic_clock{}.now_us();
	return deadline_after_us(now_us, static_cast<uint64_t>(timeout_ms) * 1000);
}

// Views of what an iovec names, in memory that is enough for most.
template <typename VIEW, typename BYTE>
class Views
{
private:
	std::array<VIEW, 8> _few{};
	std::vector<VIEW> _many{};
	std::span<VIEW> _used{};

public:
	// False if it can't be one.
	bool take(iovec const *from, int count)
	{
		if (count < 0 || count > IOV_MAX) return false;
		auto const n = static_cast<size_t>(count);
		if (n > _few.size()) _many.resize(n);
		_used = n > _few.size() ? std::span<VIEW>(_many) : std::span<VIEW>(_few).first(n);
		size_t total = 0;
		for (size_t i = 0; i < n; ++i) {
			if (from[i].iov_len > SSIZE_MAX - total) return false;
			total += from[i].iov_len;
			_used[i] = {static_cast<BYTE *>(from[i].iov_base), from[i].iov_len};
		}
		return true;
	}
	std::span<VIEW> all() const { return _used; }
};

using Readable = Views<Bytes, uint8_t const>;
using Writable = Views<Mutable_bytes, uint8_t>;

ssize_t bad_vector()
{
	return failed(EINVAL, "a vector has up to 1024 elements and less than SSIZE_MAX bytes");
}

template <typename VIEW>
ssize_t describe(ssize_t result, vchan::Pieces<VIEW> const &from, iovec pieces[2])
{
	auto const as_iovec = [](VIEW view) {
		return iovec{const_cast<uint8_t *>(view.data()), view.size()};
	};
	pieces[0] = as_iovec(from.first);
	pieces[1] = as_iovec(from.second);
	return result;
}

} // namespace

int bulkhead_vchan_listen(
	Bulkhead_vchan **channel, int domain, int port, Bulkhead_vchan_options const *options)
{
	return open_channel(channel, true, domain, port, options);
}

int bulkhead_vchan_connect(
	Bulkhead_vchan **channel, int domain, int port, Bulkhead_vchan_options const *options)
{
	return open_channel(channel, false, domain, port, options);
}

int bulkhead_vchan_adopt(
	Bulkhead_vchan **channel, int memory_fd, int out_fd, int in_fd, int role, uint32_t generation)
{
	linux_host::Owned_fd memory(memory_fd), out(out_fd), in(in_fd);
	if (!channel) return failed(EINVAL, "there is no place for the channel");
	*channel = nullptr;
	if (role != BULKHEAD_VCHAN_SERVER && role != BULKHEAD_VCHAN_CLIENT)
		return failed(EINVAL, "a role is BULKHEAD_VCHAN_SERVER or BULKHEAD_VCHAN_CLIENT");
	if (!linux_host::Bell::suitable(out_fd) || !linux_host::Bell::suitable(in_fd))
		return failed(EPROTO, "what one rings and is rung by has to be a unix socket");
	auto transport = std::make_unique<sdk::Shm_transport>();
	int const error = transport->adopt({.memory = std::move(memory),
		.bell = linux_host::Bell(std::move(out), std::move(in)),
		.role = static_cast<vchan::Role>(role),
		.generation = generation});
	if (error) return failed(error, transport->message());
	*channel = new Bulkhead_vchan(std::move(transport), Channel::SPIN_OF_TRANSPORT);
	return 0;
}

void bulkhead_vchan_close(Bulkhead_vchan *channel)
{
	if (!channel) return;
	channel->channel.transport().close();
	delete channel;
}

int bulkhead_vchan_fd(Bulkhead_vchan const *channel) { return channel->channel.transport().fd(); }

int bulkhead_vchan_look(Bulkhead_vchan *channel) { return -channel->channel.look(); }

void bulkhead_vchan_arm(Bulkhead_vchan *channel, unsigned reasons)
{
	channel->channel.transport().arm(reasons & sleep_for::ANY);
}

int bulkhead_vchan_wait(Bulkhead_vchan *channel, unsigned reasons, int timeout_ms)
{
	if (reasons == 0 || reasons > sleep_for::ANY) return failed(EINVAL, "no such reason to wait");
	return static_cast<int>(channel->channel.wait(reasons, deadline_us(timeout_ms)));
}

int bulkhead_vchan_connect_wait(Bulkhead_vchan *channel, int timeout_ms)
{
	return channel->channel.wait_for_peer(deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_read(Bulkhead_vchan *channel, void *to, size_t size, int timeout_ms)
{
	Mutable_bytes const view{static_cast<uint8_t *>(to), size};
	return channel->channel.read({&view, 1}, deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_readv(
	Bulkhead_vchan *channel, struct iovec const *to, int count, int timeout_ms)
{
	Writable views;
	if (!views.take(to, count)) return bad_vector();
	return channel->channel.read(views.all(), deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_write(Bulkhead_vchan *channel, void const *from, size_t size, int timeout_ms)
{
	Bytes view{static_cast<uint8_t const *>(from), size};
	return channel->channel.write({&view, 1}, deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_writev(
	Bulkhead_vchan *channel, struct iovec const *from, int count, int timeout_ms)
{
	Readable views;
	if (!views.take(from, count)) return bad_vector();
	return channel->channel.write(views.all(), deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_send(Bulkhead_vchan *channel, void const *from, size_t size, int timeout_ms)
{
	Bytes const view{static_cast<uint8_t const *>(from), size};
	return channel->channel.send({&view, 1}, deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_sendv(
	Bulkhead_vchan *channel, struct iovec const *from, int count, int timeout_ms)
{
	Readable views;
	if (!views.take(from, count)) return bad_vector();
	return channel->channel.send(views.all(), deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_recv(Bulkhead_vchan *channel, void *to, size_t size, int timeout_ms)
{
	Mutable_bytes const view{static_cast<uint8_t *>(to), size};
	return channel->channel.receive({&view, 1}, deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_recvv(
	Bulkhead_vchan *channel, struct iovec const *to, int count, int timeout_ms)
{
	Writable views;
	if (!views.take(to, count)) return bad_vector();
	return channel->channel.receive(views.all(), deadline_us(timeout_ms));
}

ssize_t bulkhead_vchan_peek(Bulkhead_vchan *channel, struct iovec pieces[2], size_t max)
{
	vchan::Pieces<Bytes> there;
	ssize_t const result = channel->channel.peek(there, max);
	return describe(result, there, pieces);
}

void bulkhead_vchan_consume(Bulkhead_vchan *channel, size_t size)
{
	channel->channel.transport().commit_read(size);
}

ssize_t bulkhead_vchan_reserve(Bulkhead_vchan *channel, struct iovec pieces[2], size_t max)
{
	vchan::Pieces<Mutable_bytes> room;
	ssize_t const result = channel->channel.reserve(room, max);
	return describe(result, room, pieces);
}

void bulkhead_vchan_commit(Bulkhead_vchan *channel, size_t size)
{
	channel->channel.transport().commit_written(size);
}

void bulkhead_vchan_finish(Bulkhead_vchan *channel) { channel->channel.transport().finish(); }

int bulkhead_vchan_state(Bulkhead_vchan *channel)
{
	return static_cast<int>(channel->channel.transport().state());
}

void bulkhead_vchan_capacity(Bulkhead_vchan const *channel, size_t *read, size_t *write)
{
	if (read) *read = channel->channel.transport().read_capacity();
	if (write) *write = channel->channel.transport().write_capacity();
}

int bulkhead_vchan_peer_uid(Bulkhead_vchan *channel, uid_t *uid)
{
	auto const user = channel->channel.transport().peer_user();
	if (user) {
		*uid = *user;
		return 0;
	}
	if (channel->channel.transport().state() == vchan::State::WAITING)
		return failed(ENOTCONN, "the other side isn't there yet");
	return failed(EOPNOTSUPP, "this transport doesn't know the user of the other side");
}

void bulkhead_vchan_stats(Bulkhead_vchan const *channel, Bulkhead_vchan_stats *stats)
{
	Bulkhead_vchan_stats const known{.size = stats->size,
		.rings = channel->channel.transport().rings(),
		.sleeps = channel->channel.sleeps()};
	memcpy(stats, &known, std::min(stats->size, sizeof(known)));
}

char const *bulkhead_vchan_error(Bulkhead_vchan const *channel)
{
	return channel->channel.text().c_str();
}

char const *bulkhead_vchan_last_error(void) { return sdk::noted_error(); }
