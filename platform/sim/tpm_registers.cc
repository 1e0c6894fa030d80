#include "platform/sim/tpm_registers.h"

namespace bulkhead::sim {

using namespace ptp;

static constexpr uint32_t TPM_RC_COMMAND_SIZE = 0x142;
static constexpr uint32_t TPM_RC_CANCELED = 0x909;
static constexpr uint32_t NOTHING = ~0u;

/* Settles which faults a command meets. */
void Tpm_registers::_begin_command()
{
	if (_begun) return;
	_begun = true;
	if (faults.burst_one.strike()) _struck |= BURST_ONE;
	if (faults.burst_zero.strike()) _struck |= BURST_ZERO;
	if (faults.expect_low.strike()) _struck |= EXPECT_LOW;
	if (faults.expect_high.strike()) _struck |= EXPECT_HIGH;
	if (faults.status_invalid.strike()) _struck |= STATUS_INVALID;
	if (faults.command_byte_lost.strike()) _struck |= BYTE_LOST;
	if (faults.response_dropped.strike()) _struck |= DROPPED;
	if (faults.response_until_cancel.strike()) _struck |= UNTIL_CANCEL;
	_burst_zero_polls = faults.burst_zero_polls;
	_lose_at = NOWHERE;
}

void Tpm_registers::_end_command()
{
	_begun = false;
	_struck = 0;
}

/* Whether something came between, so that the command is no more. */
bool Tpm_registers::_disturb(Moment moment)
{
	if (moment == faults.reset_at && faults.resets_itself.strike()) {
		reset();
		return true;
	}
	if (moment == faults.stolen_at && faults.locality_stolen.strike()) {
		constexpr uint8_t THIEF = LOCALITIES - 1;
		_write_access(THIEF, ACCESS_SEIZE);
		if (!faults.thief_stays) _write_access(THIEF, ACCESS_ACTIVE_LOCALITY);
		return true;
	}
	return false;
}

uint32_t Tpm_registers::_disturbed_status(uint32_t value)
{
	constexpr uint32_t BURST_COUNT = 0xffffu << STS_BURST_COUNT_SHIFT;
	if (_struck & BURST_ONE && value & BURST_COUNT)
		value = (value & ~BURST_COUNT) | 1u << STS_BURST_COUNT_SHIFT;
	if (_struck & BURST_ZERO && value & BURST_COUNT && _burst_zero_polls) {
		if (_burst_zero_polls != Fault::FOREVER) --_burst_zero_polls;
		value &= ~BURST_COUNT;
	}
	bool const receiving = _state == State::RECEPTION;
	if (_struck & EXPECT_LOW) value &= ~uint32_t{STS_EXPECT};
	if (_struck & EXPECT_HIGH && receiving) value |= STS_EXPECT;
	if (_struck & STATUS_INVALID) value &= ~uint32_t{STS_VALID};
	return value;
}

void Tpm_registers::_disturb_response()
{
	if (_size >= HEADER_SIZE && faults.response_size_wrong.strike())
		store_be<uint32_t>(std::span(_message).subspan<2, 4>(), faults.response_size);
	_lose_byte();
}

void Tpm_registers::_lose_byte()
{
	bool const lose = faults.response_byte_lost.strike() && faults.lost_at < _size;
	_lose_at = lose ? faults.lost_at : NOWHERE;
}

void Tpm_registers::_raise(uint8_t interrupt)
{
	if (!(_int_enable & INT_GLOBAL_ENABLE) || !(_int_enable & interrupt)) return;
	bool const asserted = _int_status != 0;
	_int_status |= interrupt;
	if (!asserted && _interrupt) _interrupt->asserted();
}

void Tpm_registers::_enter(State state)
{
	_state = state;
	_polls_to_valid = chip.valid_polls;
	_valid = _polls_to_valid == 0;
	if (_valid) _raise(INT_STS_VALID);
}

void Tpm_registers::_become_ready()
{
	_ready_wanted = false;
	_size = _at = 0;
	_enter(State::READY);
	_raise(INT_COMMAND_READY);
}

void Tpm_registers::_want_ready()
{
	if (faults.ready_ignored.strike()) return;
	_ready_wanted = true;
	_polls_to_ready = chip.ready_polls;
	if (!_busy && _polls_to_ready == 0) _become_ready();
}

/* Whatever goes on with the command or response comes to its end. */
void Tpm_registers::_abort()
{
	_ready_wanted = false;
	_answered = false;
	_end_command();
	_size = _at = 0;
	_enter(State::IDLE);
	if (!_busy || _aborted) return;
	_aborted = true;
	_backend.cancel();
}

void Tpm_registers::_complete()
{
	_answered = false;
	if (_disturb(Moment::COMPLETION)) return;
	_at = 0;
	_disturb_response();
	_enter(State::COMPLETION);
	if (_available()) _raise(INT_DATA_AVAIL);
}

void Tpm_registers::response(Bytes response)
{
	BULKHEAD_ASSERT(_busy);
	_busy = false;
	if (_aborted) {
		_aborted = false;
		if (_ready_wanted && _polls_to_ready == 0) _become_ready();
		return;
	}
	if (_struck & DROPPED) return;
	if (_struck & UNTIL_CANCEL) {
		_struck |= HELD;
		return;
	}
	_size = copy_bytes(_message, response);
	_answered = true;
	_polls_to_complete = chip.execution_polls;
	if (_polls_to_complete == 0) _complete();
}

/* The chip itself answers a command that it doesn't let through. */
void Tpm_registers::_answer(uint32_t response_code)
{
	Byte_writer writer{_message};
	writer.u16_be(0x8001); // TPM_ST_NO_SESSIONS
	writer.u32_be(HEADER_SIZE);
	writer.u32_be(response_code);
	_busy = true;
	response(Bytes{_message}.first(writer.size()));
}

void Tpm_registers::_go()
{
	if (_state != State::RECEPTION || _expect() || _struck & EXPECT_HIGH) return;
	_enter(State::EXECUTION);
	if (_refused) return _answer(TPM_RC_COMMAND_SIZE);
	_busy = true;
	_backend.submit(*this, _active, Bytes{_message}.first(_size));
	(void)_disturb(Moment::EXECUTION);
}

/* Software looks at the status: time goes on. */
void Tpm_registers::_advance()
{
	if (_busy) _backend.poll();
	if (_answered && _polls_to_complete-- == 0) _complete();
	if (_ready_wanted && !_busy && _polls_to_ready-- == 0) _become_ready();
	if (!_valid && _polls_to_valid-- == 0) {
		_valid = true;
		_raise(INT_STS_VALID);
	}
}

void Tpm_registers::_activate(uint8_t locality)
{
	_active = locality;
	_requested &= static_cast<uint8_t>(~(1u << locality));
}

/* The active locality has left: its command ends, and the highest that waits is next (PTP 6.2). */
void Tpm_registers::_leave()
{
	_abort();
	_active = NOBODY;
	if (!_requested) return;
	_activate(static_cast<uint8_t>(std::bit_width(_requested) - 1));
	_raise(INT_LOCALITY_CHANGE);
}

uint8_t Tpm_registers::_access(uint8_t locality)
{
	if (_active == NOBODY && _requested && _polls_to_grant-- == 0)
		_activate(static_cast<uint8_t>(std::bit_width(_requested) - 1));
	uint8_t const mine = static_cast<uint8_t>(1u << locality);
	uint8_t value = ACCESS_TPM_REG_VALID_STS;
	if (_active == locality) value |= ACCESS_ACTIVE_LOCALITY;
	if (_seized & mine) value |= ACCESS_BEEN_SEIZED;
	if (_requested & ~mine) value |= ACCESS_PENDING_REQUEST;
	if (_requested & mine) value |= ACCESS_REQUEST_USE;
	if (!_established) value |= ACCESS_TPM_ESTABLISHMENT;
	return value;
}

void Tpm_registers::_write_access(uint8_t locality, uint8_t value)
{
	uint8_t const mine = static_cast<uint8_t>(1u << locality);
	// Only one request in a write has a defined meaning; others are ignored.
	switch (value) {
	case ACCESS_REQUEST_USE:
		if (_active == locality) return;
		_requested |= mine;
		_polls_to_grant = chip.grant_polls;
		if (faults.locality_denied.strike()) _polls_to_grant = Fault::FOREVER;
		if (_active == NOBODY && _polls_to_grant == 0) _activate(locality);
		return;
	case ACCESS_ACTIVE_LOCALITY:
		_requested &= static_cast<uint8_t>(~mine);
		if (_active == locality) _leave();
		return;
	case ACCESS_BEEN_SEIZED: _seized &= static_cast<uint8_t>(~mine); return;
	case ACCESS_SEIZE:
		if (_active != NOBODY && _active >= locality) return;
		if (_active != NOBODY) {
			_seized |= static_cast<uint8_t>(1u << _active);
			_abort();
		}
		_activate(locality);
		_raise(INT_LOCALITY_CHANGE);
		return;
	default: return;
	}
}

uint32_t Tpm_registers::_burst_count() const
{
	switch (_state) {
	case State::READY: return chip.burst_count;
	case State::RECEPTION: return _expect() ? chip.burst_count : 0;
	case State::COMPLETION:
		if (!_available()) return 0;
		if (chip.burst_count_static) return chip.burst_count;
		return static_cast<uint32_t>(std::min<size_t>(chip.burst_count, _left()));
	default: return 0;
	}
}

uint32_t Tpm_registers::_status(uint8_t locality)
{
	if (locality != _active) return NOTHING;
	_advance();
	if (_dead) return NOTHING;
	bool const due =
		faults.burst_one.due() || faults.burst_zero.due() || faults.status_invalid.due();
	if (_state == State::READY && due) _begin_command();
	uint32_t value =
		STS_TPM_FAMILY_2_0 | _burst_count() << STS_BURST_COUNT_SHIFT | STS_SELF_TEST_DONE;
	if (_state == State::READY) value |= STS_COMMAND_READY;
	if (_available()) value |= STS_DATA_AVAIL;
	if (_expect()) value |= STS_EXPECT;
	// Before stsValid is set, these two say nothing: software that believes them is to notice.
	value = _valid ? value | STS_VALID : value ^ (STS_DATA_AVAIL | STS_EXPECT);
	return _struck ? _disturbed_status(value) : value;
}

void Tpm_registers::_write_status(uint8_t value)
{
	switch (value & (STS_COMMAND_READY | STS_TPM_GO | STS_RESPONSE_RETRY)) {
	case STS_COMMAND_READY:
		switch (_state) {
		case State::IDLE: _want_ready(); return;
		case State::READY: return _end_command();
		default:
			_abort();
			if (chip.ready_from_completion) _want_ready();
			return;
		}
	case STS_TPM_GO: return _go();
	case STS_RESPONSE_RETRY:
		if (_state != State::COMPLETION) return;
		_at = 0;
		_lose_byte();
		_enter(State::COMPLETION);
		return;
	default: return;
	}
}

void Tpm_registers::_write_status_high(uint8_t locality, uint8_t value)
{
	if (value & (STS_COMMAND_CANCEL >> 24) && _state == State::EXECUTION) {
		bool const held = _struck & HELD;
		_struck &= static_cast<uint16_t>(~(UNTIL_CANCEL | HELD));
		if (_busy)
			_backend.cancel();
		else if (held)
			_answer(TPM_RC_CANCELED);
	}
	if (value & (STS_RESET_ESTABLISHMENT >> 24) && locality >= 3) _established = false;
}

uint32_t Tpm_registers::_value(uint8_t locality, uint16_t offset)
{
	switch (offset) {
	case TPM_STS: return _status(locality);
	case TPM_ACCESS: return 0xffffff00 | _access(locality);
	case TPM_INT_ENABLE: return _int_enable;
	case TPM_INT_VECTOR: return 0xffffff00; // SPI has no serialised interrupts
	case TPM_INT_STATUS: return _int_status;
	case TPM_INTF_CAPABILITY:
		// InterfaceVersion 3: FIFO of the PTP for TPM 2.0; DataTransferSizeSupport 3: 64 bytes
		return 3u << 28 | 3u << 9 | (chip.burst_count_static ? 1u << 8 : 0) | INT_COMMAND_READY |
			1u << 4 | INT_LOCALITY_CHANGE | INT_STS_VALID | INT_DATA_AVAIL;
	case TPM_INTERFACE_ID:
		// CapFIFO, CapDataXferSizeSupport 3: 64 bytes, CapLocality: five; FIFO is selected
		return 1u << 13 | 3u << 11 | 1u << 8 |
			(faults.interface_wrong.strike() ? faults.interface_type & 0xfu : 0);
	case TPM_DID_VID:
		if (faults.vendor_wrong.strike()) return uint32_t{faults.vendor} << 16 | faults.vendor;
		return uint32_t{chip.device} << 16 | chip.vendor;
	case TPM_RID: return 0xffffff00 | chip.revision;
	default: return NOTHING;
	}
}

void Tpm_registers::_write_byte(uint8_t locality, uint16_t offset, uint8_t value)
{
	if (offset == TPM_ACCESS) return _write_access(locality, value);
	if (locality != _active) return;
	constexpr uint8_t INTERRUPTS =
		INT_COMMAND_READY | INT_LOCALITY_CHANGE | INT_STS_VALID | INT_DATA_AVAIL;
	switch (offset) {
	case TPM_STS: return _write_status(value);
	case TPM_STS + 3: return _write_status_high(locality, value);
	case TPM_INT_ENABLE:
		_int_enable = (_int_enable & ~0xffu) | (value & INTERRUPTS) | INT_LOW_LEVEL;
		return;
	case TPM_INT_ENABLE + 3: _int_enable = (_int_enable & 0xffu) | (value & 0x80u) << 24; return;
	case TPM_INT_STATUS: _int_status &= static_cast<uint8_t>(~value); return;
	default: return;
	}
}

/* The header's size field is there: the chip knows how much to expect. */
void Tpm_registers::_announce()
{
	_size = load_be<uint32_t>(Bytes{_message}.subspan<2, 4>());
	_refused = _size < HEADER_SIZE || _size > MESSAGE_MAX;
	if (_refused) _size = _at;
}

void Tpm_registers::_write_fifo(uint8_t locality, Bytes from)
{
	constexpr size_t SIZE_KNOWN = 6;
	if (locality != _active || from.empty()) return;
	if (_state == State::READY) {
		if (_disturb(Moment::RECEPTION)) return;
		_begin_command();
		_enter(State::RECEPTION);
		_refused = false;
		_size = SIZE_KNOWN;
		_at = 0;
	}
	if (!_expect()) return;
	while (!from.empty() && _at < _size) {
		if (_struck & BYTE_LOST && _at >= SIZE_KNOWN && from.size() >= _size - _at) {
			_struck &= static_cast<uint16_t>(~BYTE_LOST);
			from = from.first(_size - _at - 1);
		}
		size_t const n = copy_bytes(Mutable_bytes{_message}.subspan(_at, _size - _at), from);
		from = from.subspan(n);
		_at += n;
		if (_at == SIZE_KNOWN) _announce();
	}
	if (!_expect()) _enter(State::RECEPTION);
}

void Tpm_registers::_read_fifo(uint8_t locality, Mutable_bytes to)
{
	size_t n = 0;
	bool const readable = locality == _active && _available();
	if (readable && !(_at == 0 && _disturb(Moment::READING))) {
		n = copy_bytes(to, Bytes{_message}.subspan(_at, std::min(_lose_at, _size) - _at));
		_at += n;
		if (_at == _lose_at) {
			_lose_at = NOWHERE;
			++_at;
			size_t const more =
				copy_bytes(to.subspan(n), Bytes{_message}.subspan(_at, _size - _at));
			_at += more;
			n += more;
		}
		if (!_available()) _enter(State::COMPLETION);
	}
	fill_bytes(to.subspan(n), 0xff);
}

void Tpm_registers::read(uint16_t address, Mutable_bytes to)
{
	uint8_t const locality = address >> 12;
	uint16_t offset = address & 0xfff;
	if (locality >= LOCALITIES || _dead) return fill_bytes(to, 0xff);
	if (_fifo(offset)) return _read_fifo(locality, to);
	uint32_t value = 0;
	for (size_t i = 0; i < to.size(); ++i, ++offset) {
		if (i == 0 || offset % 4 == 0) {
			bool const past = offset > 0xfff || _fifo(offset);
			value = past ? NOTHING : _value(locality, offset & ~3u) >> (8 * (offset % 4));
		}
		to[i] = static_cast<uint8_t>(value);
		value >>= 8;
	}
}

void Tpm_registers::write(uint16_t address, Bytes from)
{
	uint8_t const locality = address >> 12;
	uint16_t const offset = address & 0xfff;
	if (locality >= LOCALITIES || _dead) return;
	if (_fifo(offset)) return _write_fifo(locality, from);
	size_t const n = std::min<size_t>(from.size(), 4 - offset % 4);
	for (size_t i = 0; i < n; ++i)
		_write_byte(locality, static_cast<uint16_t>(offset + i), from[i]);
}

void Tpm_registers::reset()
{
	_abort();
	_active = NOBODY;
	_requested = _seized = 0;
	_established = false;
	_int_enable = INT_LOW_LEVEL;
	_int_status = 0;
}

} // namespace bulkhead::sim
