#include "platform/sim/tpm_wire.h"

namespace bulkhead::sim {

using spi::After;
using spi::Chip;
using spi::Segment;

static constexpr uint8_t FLOATING = 0xff; // nobody drives the line
static constexpr uint8_t READY = 0x01; // the wait bit, in the last byte of header or wait state
static constexpr uint8_t WAITING = 0x00;

void Tpm_wire::_select(Chip const &chip)
{
	_selected = chip.select;
	_frame = {};
	// A chip whose mode or word size isn't met understands nothing.
	bool const understood = chip.mode == spi::Mode::MODE_0 && chip.bits_per_word == 8 &&
		!chip.lsb_first && !chip.select_active_high;
	if (understood && chip.select < CHIP_SELECTS && _chips[chip.select])
		_begin_frame();
	else
		_frame.phase = Frame::Phase::OVER;
}

void Tpm_wire::_begin_frame()
{
	Tpm_faults &faults = _chips[_selected]->faults;
	_frame.low = faults.line_low.strike();
	_frame.high = faults.line_high.strike();
	_frame.faulty = _frame.low || _frame.high || faults.flip_received_1_in || faults.flip_sent_1_in;
}

void Tpm_wire::_deselect() { _selected = NONE; }

/* Read or write and length, then 0xD4, then address: PTP 7.4.6. */
uint8_t Tpm_wire::_header_byte(Tpm_registers &chip, uint8_t sent)
{
	switch (_frame.header_bytes++) {
	case 0:
		_frame.reading = sent & 0x80;
		_frame.left = static_cast<uint8_t>((sent & 0x3f) + 1);
		return WAITING;
	case 1: _frame.addressed = sent == 0xd4; return WAITING;
	case 2: _frame.address = static_cast<uint16_t>(sent << 8); return WAITING;
	default: break;
	}
	_frame.address |= sent;
	if (!_frame.addressed) {
		_frame.phase = Frame::Phase::OVER;
		return FLOATING;
	}
	_frame.waits = chip.chip.wait_states;
	if (chip.faults.more_wait_states.strike()) _frame.waits += chip.faults.wait_states;
	if (chip.faults.endless_wait.strike()) _frame.waits = Fault::FOREVER;
	_frame.phase = _frame.waits ? Frame::Phase::WAIT : Frame::Phase::DATA;
	return _frame.waits ? WAITING : READY;
}

uint8_t Tpm_wire::_wait_byte()
{
	if (--_frame.waits) return WAITING;
	_frame.phase = Frame::Phase::DATA;
	return READY;
}

/* Either buffer may be null. Returns how many bytes belonged to the frame. */
size_t Tpm_wire::_data(Tpm_registers &chip, uint8_t const *sent, uint8_t *received, size_t size)
{
	uint8_t unused[64];
	size_t const n = std::min<size_t>(size, _frame.left);
	if (_frame.reading) {
		chip.read(_frame.address, {received ? received : unused, n});
	} else {
		if (!sent) {
			fill_bytes({unused, n}, 0);
			sent = unused;
		}
		chip.write(_frame.address, {sent, n});
		if (received) fill_bytes({received, n}, 0);
	}
	if (!Tpm_registers::fifo_at(_frame.address))
		_frame.address = static_cast<uint16_t>(_frame.address + n);
	_frame.left = static_cast<uint8_t>(_frame.left - n);
	if (_frame.left == 0) _frame.phase = Frame::Phase::OVER;
	return n;
}

void Tpm_wire::_exchange(uint8_t const *sent, uint8_t *received, size_t size)
{
	size_t i = 0;
	while (i < size) {
		uint8_t in = FLOATING;
		switch (_frame.phase) {
		case Frame::Phase::HEADER: in = _header_byte(*_chips[_selected], sent ? sent[i] : 0); break;
		case Frame::Phase::WAIT: in = _wait_byte(); break;
		case Frame::Phase::DATA:
			i += _data(*_chips[_selected], sent ? sent + i : nullptr,
				received ? received + i : nullptr, size - i);
			continue;
		case Frame::Phase::OVER:
			if (received) fill_bytes({received + i, size - i}, FLOATING);
			return;
		}
		if (received) received[i] = in;
		++i;
	}
}

/* Byte by byte, as each may be changed on its way. */
void Tpm_wire::_exchange_faulty(uint8_t const *sent, uint8_t *received, size_t size)
{
	Tpm_faults &faults = _chips[_selected]->faults;
	for (size_t i = 0; i < size; ++i) {
		uint8_t const out = faults.flip(sent ? sent[i] : 0, faults.flip_sent_1_in);
		uint8_t in = FLOATING;
		_exchange(&out, &in, 1);
		if (_frame.low) in = 0;
		if (_frame.high) in = FLOATING;
		if (received) received[i] = faults.flip(in, faults.flip_received_1_in);
	}
}

Attempt<void, spi::Error> Tpm_wire::_until(Segment const &segment, uint8_t last, size_t &bytes)
{
	for (uint32_t n = 0; (last & segment.mask) != segment.value; ++n) {
		if (n == segment.limit) return spi::Error::CONDITION_UNMET;
		_frame.faulty ? _exchange_faulty(nullptr, &last, 1) : _exchange(nullptr, &last, 1);
		++bytes;
	}
	return Ok{};
}

/* `last` is the byte received last; `bytes` grows by what was on the wire. */
Attempt<void, spi::Error> Tpm_wire::_run(
	Chip const &chip, Segment const &segment, uint8_t &last, size_t &bytes)
{
	if (_selected != chip.select) _select(chip);
	if (segment.kind == Segment::Kind::UNTIL) {
		TRY(_until(segment, last, bytes));
	} else if (segment.kind == Segment::Kind::DATA) {
		if (_frame.faulty)
			_exchange_faulty(segment.sent, segment.received, segment.size);
		else
			_exchange(segment.sent, segment.received, segment.size);
		if (segment.received && segment.size) last = segment.received[segment.size - 1];
		bytes += segment.size;
	}
	if (segment.reselect) _deselect();
	return Ok{};
}

Task<void, spi::Error> Tpm_wire::transfer(
	Job &job, Chip const &chip, std::span<Segment const> segments, After after)
{
	if (timing.simulated || timing.gate) return _transfer_later(job, chip, segments, after);
	uint8_t last = 0;
	size_t bytes = 0;
	for (Segment const &segment : segments)
		if (auto const result = _run(chip, segment, last, bytes); !result.ok())
			return result.error();
	if (after == After::DESELECT) _deselect();
	return Ok{};
}

Task<void, spi::Error> Tpm_wire::_transfer_later(
	Job &job, Chip const &chip, std::span<Segment const> segments, After after)
{
	uint8_t last = 0;
	for (Segment const &segment : segments) {
		if (timing.gate) {
			CO_TRY(co_await timing.gate->wait(job));
		}
		size_t bytes = 0;
		CO_TRY(_run(chip, segment, last, bytes));
		if (!timing.simulated) continue;
		uint64_t duration_ns = uint64_t{bytes} * 8 * 1'000'000'000 / chip.clock_hz;
		if (segment.kind == Segment::Kind::DELAY) duration_ns += segment.limit;
		CO_TRY(co_await sleep_us(job, (duration_ns + 999) / 1000));
	}
	if (after == After::DESELECT) _deselect();
	co_return Ok{};
}

} // namespace bulkhead::sim
