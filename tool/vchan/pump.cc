#include "tool/vchan/pump.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <poll.h>

namespace bulkhead::tool {

namespace {

constexpr size_t ALL = SIZE_MAX;

/* How many of two pieces are to be used. */
int count_of(iovec const *pieces) { return pieces[1].iov_len ? 2 : 1; }

} // namespace

Pump::Pump(Bulkhead_vchan *channel, Interrupt const &interrupt, Ways ways)
	: _channel(channel), _interrupt(interrupt), _ways(std::move(ways))
{
	size_t read = 0, write = 0;
	bulkhead_vchan_capacity(channel, &read, &write);
	if (!_ways.input.exists() || !write) _sending = Waits::OVER;
	if (!read) _receiving = _received_all();
}

void Pump::_note(int error)
{
	if (!_channel_error && (error == -ECONNRESET || error == -EPROTO)) _channel_error = error;
}

/* The other side may change what it has shared: a dump shows what it was at one time. */
void Pump::_dump(Hex_dump &dump, iovec const *pieces, size_t size, std::string &to)
{
	uint8_t copy[DUMP_BYTES];
	for (int i = 0; i < 2 && size; i++)
		for (size_t at = 0; at < pieces[i].iov_len && size;) {
			size_t const part = std::min({size, pieces[i].iov_len - at, sizeof copy});
			memcpy(copy, static_cast<uint8_t const *>(pieces[i].iov_base) + at, part);
			dump.add({copy, part}, time_of_day_us(), to);
			at += part;
			size -= part;
		}
}

void Pump::_dump_aside(Hex_dump &dump, iovec const *pieces, size_t size)
{
	if (!_ways.dump_aside) return;
	std::string text;
	_dump(dump, pieces, size, text);
	fputs(text.c_str(), stderr);
}

Pump::Waits Pump::_send()
{
	iovec pieces[2]{};
	ssize_t const room =
		bulkhead_vchan_reserve(_channel, pieces, _ways.dump_aside ? DUMP_BYTES : ALL);
	if (room == 0 || room == -EAGAIN) return Waits::CHANNEL;
	if (room < 0) {
		_note(static_cast<int>(room));
		return Waits::OVER;
	}
	ssize_t const size = _ways.input.read(pieces, count_of(pieces));
	if (size == -EAGAIN) return Waits::DESCRIPTOR;
	if (size <= 0) {
		_input_ended = true;
		_input_failed = size < 0;
		if (size < 0) _descriptor_error = static_cast<int>(-size);
		if (_ways.finish) bulkhead_vchan_finish(_channel);
		return Waits::OVER;
	}
	_dump_aside(_dump_sent, pieces, static_cast<size_t>(size));
	bulkhead_vchan_commit(_channel, static_cast<size_t>(size));
	_sent += static_cast<uint64_t>(size);
	return Waits::NOTHING;
}

/* Whether one goes on without whoever has read the output. */
bool Pump::_lost_reader(int error)
{
	_ways.output.end();
	_ways.output = {};
	_unread = _ways.output_optional && error == EPIPE;
	if (_unread) return true;
	(error == EPIPE ? _output_gone : _output_failed) = true;
	_descriptor_error = error;
	return false;
}

Pump::Waits Pump::_write(iovec const *pieces, int count, ssize_t &written)
{
	written = _ways.output.write(pieces, count);
	if (written == -EAGAIN) return Waits::DESCRIPTOR;
	if (written >= 0) return Waits::NOTHING;
	return _lost_reader(static_cast<int>(-written)) ? Waits::NOTHING : Waits::OVER;
}

Pump::Waits Pump::_write_text()
{
	iovec const piece{_text.data(), _text.size()};
	ssize_t written = 0;
	Waits const waits = _write(&piece, 1, written);
	if (written > 0) _text.erase(0, static_cast<size_t>(written));
	return waits;
}

/* The next bytes of the channel, to where they belong. */
Pump::Waits Pump::_take(iovec const *pieces, size_t size)
{
	ssize_t taken = static_cast<ssize_t>(size);
	Waits waits = Waits::NOTHING;
	if (_ways.dump_output)
		_dump(_dump_received, pieces, size, _text);
	else if (_ways.output.exists())
		waits = _write(pieces, count_of(pieces), taken);
	if (taken <= 0) return waits;
	_dump_aside(_dump_received, pieces, static_cast<size_t>(taken));
	bulkhead_vchan_consume(_channel, static_cast<size_t>(taken));
	_received += static_cast<uint64_t>(taken);
	return waits;
}

Pump::Waits Pump::_received_all()
{
	if (_ways.end_output) _ways.output.end();
	return Waits::OVER;
}

Pump::Waits Pump::_receive()
{
	if (!_text.empty()) return _write_text();
	iovec pieces[2]{};
	bool const dumps = _ways.dump_output || _ways.dump_aside;
	ssize_t const there = bulkhead_vchan_peek(_channel, pieces, dumps ? DUMP_BYTES : ALL);
	if (there == -EAGAIN) return Waits::CHANNEL;
	if (there > 0) return _take(pieces, static_cast<size_t>(there));
	_note(static_cast<int>(there));
	return _received_all();
}

unsigned Pump::_reasons() const
{
	unsigned reasons = BULKHEAD_VCHAN_PEER;
	if (_sending == Waits::CHANNEL) reasons |= BULKHEAD_VCHAN_ROOM;
	if (_receiving == Waits::CHANNEL) reasons |= BULKHEAD_VCHAN_DATA;
	return reasons;
}

void Pump::_wait()
{
	pollfd watched[] = {
		{bulkhead_vchan_fd(_channel), POLLIN, 0},
		{_interrupt.fd(), POLLIN, 0},
		{_sending == Waits::DESCRIPTOR ? _ways.input.fd() : -1, POLLIN, 0},
		// Errors are always told: that nobody will read is of interest even if nothing comes.
		{_receiving == Waits::OVER ? -1 : _ways.output.fd(),
			static_cast<short>(_receiving == Waits::DESCRIPTOR ? POLLOUT : 0), 0},
	};
	if (poll(watched, 4, -1) <= 0) return;
	if (watched[0].revents) {
		_note(bulkhead_vchan_look(_channel));
		_armed = 0;
	}
	if (watched[3].revents & (POLLERR | POLLNVAL) && !_lost_reader(EPIPE)) _receiving = Waits::OVER;
}

bool Pump::_over() const
{
	if (_output_gone || _output_failed || _interrupt.number()) return true;
	return _sending == Waits::OVER && (_receiving == Waits::OVER || _unread);
}

Ending Pump::_ending() const
{
	if (_channel_error == -EPROTO) return Ending::BROKEN;
	if (_interrupt.number()) return Ending::INTERRUPTED;
	if (_output_failed) return Ending::OUTPUT_FAILED;
	if (_output_gone) return Ending::OUTPUT_GONE;
	if (_channel_error) return Ending::DIED;
	if (_input_failed) return Ending::INPUT_FAILED;
	if (_ways.input.exists() && !_input_ended && _ways.input.left_over()) return Ending::INPUT_LEFT;
	return Ending::IN_ORDER;
}

Ending Pump::run()
{
	while (!_over()) {
		if (_sending != Waits::OVER) _sending = _send();
		if (_receiving != Waits::OVER) _receiving = _receive();
		if (_sending == Waits::NOTHING || _receiving == Waits::NOTHING) continue;
		// What is armed for is looked at once more before one waits.
		if (unsigned const reasons = _reasons(); reasons & ~_armed) {
			_armed |= reasons;
			bulkhead_vchan_arm(_channel, _armed);
			continue;
		}
		if (!_over()) _wait();
	}
	return _ending();
}

} // namespace bulkhead::tool
