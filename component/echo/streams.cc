#include "component/echo/streams.h"

#include <charconv>

namespace bulkhead::echo {

using component::Incoming_call;
using qrexec::Loop_channel;

bool parse(std::string_view text, uint64_t &number)
{
	char const *const end = text.data() + text.size();
	auto const read = std::from_chars(text.data(), end, number);
	return read.ec == std::errc() && read.ptr == end;
}

Task<int> Echo::serve(Job &job, Incoming_call const &call)
{
	Loop_channel &channel = call.channel;
	while (true) {
		CO_TRY_ASSIGN(size_t const n, co_await channel.wait_for_data(job));
		if (n == 0) co_return 0;
		// From ring to ring: nobody looks at it in between.
		CO_TRY_ASSIGN(Bytes const there, channel.peek());
		CO_TRY(co_await channel.write(job, there));
		channel.consume(there.size());
	}
}

Task<int> Discard::serve(Job &job, Incoming_call const &call)
{
	while (true) {
		CO_TRY_ASSIGN(size_t const n, co_await call.channel.wait_for_data(job));
		if (n == 0) co_return 0;
		CO_TRY_ASSIGN(Bytes const there, call.channel.peek());
		call.channel.consume(there.size());
	}
}

Task<int> Source::serve(Job &job, Incoming_call const &call)
{
	uint64_t left = 0;
	if (!parse(call.argument, left)) {
		call.channel.complain("the argument is how many bytes are wanted");
		co_return 2;
	}
	while (left) {
		size_t const wanted = std::min<uint64_t>(left, Loop_channel::PIECE_MAX);
		CO_TRY(co_await call.channel.wait_for_room(job, wanted));
		auto const room = call.channel.reserve(wanted);
		fill_bytes(room.first, 0);
		fill_bytes(room.second, 0);
		call.channel.commit(room.size());
		left -= room.size();
	}
	co_return 0;
}

} // namespace bulkhead::echo
