#include "tool/vchan/channel.h"

#include "platform/linux/clock.h"
#include "sdk/libvchan/rendezvous.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>

namespace bulkhead::tool {

namespace {

/* Those that the command line, or what it takes from the environment, is to blame for. */
bool asked_wrongly(int error)
{
	return error == EINVAL || error == EDESTADDRREQ || error == ELOOP || error == EPROTONOSUPPORT ||
		error == EOPNOTSUPP;
}

Exit exit_of(int error)
{
	if (error == ECONNRESET) return Exit::PEER_DIED;
	if (error == EPROTO) return Exit::PEER_BROKE;
	return asked_wrongly(error) ? Exit::USAGE : Exit::CONNECT;
}

std::string text_of(char const *text, int error) { return text && *text ? text : strerror(error); }

} // namespace

std::string transport_of(Channel_options const &options)
{
	return std::string(sdk::transport_name(options.transport.c_str()));
}

std::optional<Trouble> open_channel(Channel_options const &options, Channel &result)
{
	Bulkhead_vchan_options wanted = BULKHEAD_VCHAN_OPTIONS_INIT;
	if (!options.transport.empty()) wanted.transport = options.transport.c_str();
	if (!options.directory.empty()) wanted.directory = options.directory.c_str();
	wanted.own_domain = options.own_domain;
	wanted.read_bytes = options.sizes.read;
	wanted.write_bytes = options.sizes.write;
	wanted.spin = options.spin;
	Bulkhead_vchan *channel = nullptr;
	auto *const open = options.server ? bulkhead_vchan_listen : bulkhead_vchan_connect;
	int const error = -open(&channel, options.peer.domain, options.peer.port, &wanted);
	result.reset(channel);
	if (error <= 0) return {};
	std::string remedy;
	if (error == EDESTADDRREQ) remedy = "--domain NUMBER, or VCHAN_DOMAIN=NUMBER";
	return Trouble{exit_of(error), text_of(bulkhead_vchan_last_error(), error), remedy};
}

Trouble trouble_of(Bulkhead_vchan const *channel, int error)
{
	return {exit_of(-error), text_of(bulkhead_vchan_error(channel), -error)};
}

std::optional<Trouble> await_peer(
	Channel_options const &options, Bulkhead_vchan *channel, Interrupt const &interrupt)
{
	linux_host::Monotonic_clock const clock;
	bool const limited = options.timeout_s >= 0;
	uint64_t const end_us =
		clock.now_us() + (limited ? static_cast<uint64_t>(options.timeout_s * 1e6) : 0);
	for (bool armed = false;;) {
		int const result = bulkhead_vchan_connect_wait(channel, 0);
		if (result == 0) return {};
		if (interrupt.number()) return Trouble{Exit::FAILURE, ""};
		if (result != -EAGAIN && result != -EINTR) return trouble_of(channel, result);
		if (!armed) {
			bulkhead_vchan_arm(channel, BULKHEAD_VCHAN_PEER);
			armed = true;
			continue;
		}
		uint64_t const now_us = clock.now_us();
		if (limited && now_us >= end_us)
			return Trouble{Exit::CONNECT,
				fmt::format("{} {} has not come within {} s", options.server ? "client" : "server",
					options.peer.text(), options.timeout_s)};
		uint64_t const left_ms = std::min<uint64_t>((end_us - now_us + 999) / 1000, 1'000'000);
		pollfd watched[] = {{bulkhead_vchan_fd(channel), POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
		(void)poll(watched, 2, limited ? static_cast<int>(left_ms) : -1);
		int const looked = watched[0].revents ? bulkhead_vchan_look(channel) : 0;
		if (looked < 0) return trouble_of(channel, looked);
		armed = false;
	}
}

} // namespace bulkhead::tool
