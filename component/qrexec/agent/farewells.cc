#include "component/qrexec/agent/farewells.h"

namespace bulkhead::qrexec {

Farewells::~Farewells()
{
	_list.for_each([](Farewell &farewell) { delete &farewell; });
}

void Farewells::add(std::unique_ptr<Data_channel> channel)
{
	if (channel->state() != Data_channel::State::OPEN || channel->peer_gone()) return;
	channel->finish();
	auto farewell = std::make_unique<Farewell>(*this, std::move(channel));
	if (!farewell->begin()) return;
	if (_count == CHANNELS_MAX) _remove(*_list.front());
	++_count;
	_list.push_back(*farewell.release());
}

void Farewells::_remove(Farewell &farewell)
{
	--_count;
	delete &farewell;
}

bool Farewells::Farewell::begin()
{
	_channel->arm(true, false);
	return _farewells._deadlines.begin(*this).ok() &&
		_farewells._loop.add(*this, _channel->fd(), EPOLLIN).ok();
}

void Farewells::Farewell::ready(uint32_t)
{
	_channel->look();
	for (bool armed = false;;) {
		Data_channel::Incoming const next = _channel->peek();
		bool const gone = _channel->peer_gone() || _channel->state() != Data_channel::State::OPEN;
		if (gone || _dropped > DROPPED_MAX) return _farewells._remove(*this);
		if (next.kind == Data_channel::Kind::BYTES) {
			_dropped += next.bytes.size();
			_channel->consume(next.bytes.size());
		}
		if (next.kind != Data_channel::Kind::NOTHING) continue;
		if (armed) return;
		_channel->arm(true, false);
		armed = true;
	}
}

} // namespace bulkhead::qrexec
