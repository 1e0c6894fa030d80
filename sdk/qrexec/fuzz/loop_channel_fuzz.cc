// The other side of a call is hostile: whatever it puts into the ring and writes into its words, a
// Loop_channel neither reads beyond what is there nor stays busy, and ends with an error.

#include "base/sync_wait.h"
#include "platform/linux/vchan/sealed_memory.h"
#include "sdk/qrexec/loop_channel.h"

#include <array>
#include <cstdlib>
#include <cstring>

using namespace bulkhead;
using namespace bulkhead::qrexec;

namespace {

constexpr uint32_t RING = 4096;

/* What the other side does, one step after the other, as the input says. */
class Hostile
{
private:
	linux_host::Sealed_memory _memory;
	vchan::Control &_control;
	vchan::Side &_own;
	std::span<uint8_t> _out;
	Bytes _input;
	uint32_t _produced = 0;

	uint32_t _number(size_t bytes)
	{
		uint32_t number = 0;
		for (size_t i = 0; i < bytes && !_input.empty(); ++i) {
			number |= static_cast<uint32_t>(_input.front()) << (8 * i);
			_input = _input.subspan(1);
		}
		return number;
	}

	void _put(Bytes from)
	{
		for (uint8_t const byte : from) _out[_produced++ % _out.size()] = byte;
		_own.produced.store(_produced);
	}

public:
	Hostile(int memory, bool as_server, Bytes input)
		: _memory(std::move(linux_host::Sealed_memory::map(memory).value())),
		  _control(*reinterpret_cast<vchan::Control *>(_memory.bytes().data())),
		  _own(as_server ? _control.server : _control.client),
		  _out(reinterpret_cast<uint8_t *>(_memory.bytes().data()) + vchan::PAGE +
				  (as_server ? 0 : RING),
			  RING),
		  _input(input)
	{}

	bool more() const { return !_input.empty(); }

	void step()
	{
		switch (_number(1) % 8) {
		case 0: { // bytes as they come
			size_t const n = std::min<size_t>(_number(1), _input.size());
			_put(_input.first(n));
			_input = _input.subspan(n);
			break;
		}
		case 1: { // a message
			std::array<uint8_t, Header::BYTES> header;
			uint32_t const type = 0x190 + _number(1) % 4;
			size_t const n = std::min<size_t>(_number(1), _input.size());
			encode(Header{type, static_cast<uint32_t>(n)}, header);
			_put(header);
			_put(_input.first(n));
			_input = _input.subspan(n);
			break;
		}
		case 2: { // a greeting
			std::array<uint8_t, Header::BYTES + 4> hello;
			encode(Header{0x300, 4}, std::span(hello).first<Header::BYTES>());
			encode_number(_number(1) % 6, std::span(hello).last<4>());
			_put(hello);
			break;
		}
		case 3: _own.produced.store(_produced = _number(4)); break;
		case 4: _own.consumed.store(_number(4)); break;
		case 5: _own.life.store(_number(4)); break;
		case 6: _own.sleep.store(_number(4)); break;
		case 7: { // takes all that it was sent
			vchan::Side const &peer = &_own == &_control.server ? _control.client : _control.server;
			_own.consumed.store(peer.produced.load());
			break;
		}
		}
	}
};

void use(linux_host::Loop &loop, Job &job, Loop_channel &channel, bool caller, uint8_t choice)
{
	std::array<uint8_t, 300> buffer{};
	// Never waits: what isn't there now isn't.
	auto const now = [&](auto task) { static_cast<void>(sync_wait(job, std::move(task), loop)); };
	switch (choice % 8) {
	case 0: now(channel.read(job, std::span(buffer).first(choice), 1)); break;
	case 1: now(channel.write(job, std::span(buffer).first(choice), 1)); break;
	case 2: now(channel.opened(job, 1)); break;
	case 3:
		if (auto const there = channel.peek(); there.ok())
			channel.consume(std::min<size_t>(there.value().size(), choice));
		break;
	case 4: {
		auto const room = channel.reserve(choice);
		fill_bytes(room.first, choice);
		fill_bytes(room.second, choice);
		channel.commit(room.size() / 2);
		break;
	}
	case 5: now(channel.wait_for_room(job, choice, 1)); break;
	case 6:
		if (caller)
			now(channel.exit_code(job, 1));
		else
			channel.complain("no");
		break;
	case 7:
		if (choice < 64)
			now(channel.finish(job, 1));
		else if (!caller && choice > 240)
			now(channel.exit(job, choice, 1));
		else
			channel.flush();
		break;
	}
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	if (size < 2) return 0;
	static linux_host::Loop loop;
	bool const caller = data[0] & 1;
	Bytes choices = Bytes(data, size).subspan(1).first(std::min<size_t>(size - 1, 24));
	Bytes const input = Bytes(data, size).subspan(1 + choices.size());

	auto pair = linux_host::make_channel({RING, RING});
	if (!pair.ok()) return 0;
	auto &own = caller ? pair.value().server : pair.value().client;
	Hostile hostile(own.memory.value(), !caller, input);
	Job_with_arena<8192> job(loop.executor());
	Loop_channel channel(loop);
	size_t errors = 0;
	if (caller) channel.errors([&](Bytes bytes) { errors += bytes.size(); });
	if (!channel.adopt(std::move(own), caller ? Side::CALLER : Side::SERVICE).ok()) return 0;
	for (uint8_t const choice : choices) {
		if (hostile.more()) hostile.step();
		use(loop, job, channel, caller, choice);
	}
	return 0;
}
