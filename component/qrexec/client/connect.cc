#include "component/qrexec/client/connect.h"

#include "component/qrexec/host/log.h"
#include "platform/linux/clock.h"
#include "sdk/libvchan/rendezvous.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <poll.h>

namespace bulkhead::qrexec {
namespace {

constexpr uint64_t US_PER_S = 1'000'000;

uint64_t deadline_us(int timeout_s)
{
	if (timeout_s <= NO_TIMEOUT) return NEVER_US;
	return deadline_after_us(
		linux_host::Monotonic_clock{}.now_us(), static_cast<uint64_t>(timeout_s) * US_PER_S);
}

// For poll: rounded up, -1 for ever; 0 once it has passed.
int left_ms(uint64_t until_us)
{
	if (until_us == NEVER_US) return -1;
	uint64_t const now_us = linux_host::Monotonic_clock{}.now_us();
	if (now_us >= until_us) return 0;
	return static_cast<int>(std::min<uint64_t>((until_us - now_us + 999) / 1000, 1U << 30));
}

bool over(Data_channel::State state)
{
	return state == Data_channel::State::CLOSED || state == Data_channel::State::BROKEN;
}

bool ended(Link &link)
{
	auto const state = link.look();
	return !state.ok() || state.value() == Link::State::ENDED;
}

bool failed(Data_channel const &channel, Meeting const &meeting)
{
	log("the other side of the call, domain ", meeting.with.domain, ", ",
		channel.message().empty() ? "has gone before it greeted" : channel.message());
	return false;
}

} // namespace

bool refers_to_host(std::string_view target)
{
	return target == "dom0" || target == "@adminvm" ||
		target == "uuid:00000000-0000-0000-0000-000000000000";
}

int own_domain()
{
	char const *const text = getenv("VCHAN_DOMAIN");
	if (!text || !*text) return 0;
	return sdk::OWN_FROM_ENVIRONMENT; // which says what is wrong with it
}

bool finish_asking(Link &link, std::string_view whom)
{
	while (true) {
		auto const state = link.look();
		if (!state.ok()) {
			log(link.message().empty() ? std::string_view(name_of(state.error()))
									   : std::string_view(link.message()),
				" (asking for domain ", whom, ")");
			return false;
		}
		if (state.value() == Link::State::ANSWERED) return true;
		if (state.value() == Link::State::ENDED) {
			log("the daemon of domain ", whom, " has ended the call before it began");
			return false;
		}
		pollfd socket{link.fd(), static_cast<short>(link.wanted()), 0};
		(void)poll(&socket, 1, -1);
	}
}

void wait_for_end(Link &link)
{
	while (!ended(link)) {
		pollfd socket{link.fd(), POLLIN, 0};
		(void)poll(&socket, 1, -1);
	}
}

std::unique_ptr<Data_channel> begin_to_meet(Meeting const &meeting)
{
	sdk::Wanted wanted{.server = meeting.side == Side::CALLER,
		.own = own_domain(),
		.peer = static_cast<int>(meeting.with.domain),
		.port = static_cast<int>(meeting.with.port)};
	if (wanted.server) wanted.read_bytes = wanted.write_bytes = Data_channel::RING_BYTES;
	int error = 0;
	std::string why;
	auto transport = sdk::open_transport(nullptr, std::move(wanted), error, why);
	if (!transport) {
		log("no connection to domain ", meeting.with.domain, ", port ", meeting.with.port, ": ",
			why);
		return nullptr;
	}
	return std::make_unique<Data_channel>(std::move(transport), meeting.side);
}

bool wait_until_met(Data_channel &channel, Meeting const &meeting)
{
	uint64_t const until_us = deadline_us(meeting.timeout_s);
	Link *link = meeting.link;
	while (true) {
		Data_channel::State const state = channel.look();
		if (state == Data_channel::State::OPEN) return true;
		if (over(state)) return failed(channel, meeting);
		if (link && ended(*link)) {
			// A short call may be over already, and its bytes are there.
			if (channel.look() == Data_channel::State::WAITING) {
				log("domain ", meeting.with.domain, " has ended the call before it began");
				return false;
			}
			link = nullptr;
			continue;
		}
		std::array<pollfd, 2> watched{
			pollfd{channel.fd(), POLLIN, 0}, pollfd{link ? link->fd() : -1, POLLIN, 0}};
		int const left = left_ms(until_us);
		if (left == 0) {
			log("domain ", meeting.with.domain, " hasn't come to the call's connection within ",
				meeting.timeout_s, " s; look whether its qrexec-agent runs, or wait longer (-w)");
			return false;
		}
		(void)poll(watched.data(), watched.size(), left);
	}
}

std::unique_ptr<Data_channel> meet(Meeting const &meeting)
{
	auto channel = begin_to_meet(meeting);
	if (!channel || !wait_until_met(*channel, meeting)) return nullptr;
	return channel;
}

void wait_until_delivered(Data_channel &channel, int timeout_s)
{
	uint64_t const until_us = deadline_us(timeout_s);
	while (!over(channel.look()) && !channel.delivered()) {
		channel.arm(false, true);
		pollfd watched{channel.fd(), POLLIN, 0};
		int const left = left_ms(until_us);
		if (left == 0) return;
		(void)poll(&watched, 1, left);
	}
}

} // namespace bulkhead::qrexec
