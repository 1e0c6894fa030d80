#include "driver/spi/bus.h"

namespace bulkhead::spi {

/* A transfer that goes on. However it ends, the bus is left in a defined state and handed on. */
class Device::Running
{
private:
	Device *_device;
	After _after;
	bool _ok = false;

public:
	Running(Device &device, After after) : _device(&device), _after(after) {}
	Running(Running &&other) noexcept
		: _device(std::exchange(other._device, nullptr)), _after(other._after), _ok(other._ok)
	{}
	Running &operator=(Running &&) = delete;
	~Running()
	{
		if (_device) _device->_ended(_ok, _after);
	}

	void succeeded() { _ok = true; }
};

/* The controller's task ends before the bus is brought to rest; parameters have no such order. */
struct Device::Unfinished
{
	Running running;
	Task<void, Error> task;

	Unfinished(Running &&r, Task<void, Error> &&t) : running(std::move(r)), task(std::move(t)) {}
};

static bool has_condition(std::span<Segment const> segments)
{
	for (Segment const &segment : segments)
		if (segment.kind == Segment::Kind::UNTIL) return true;
	return false;
}

static bool receives(Segment const &segment) { return segment.received && segment.size; }

static Attempt<void, Error> check_chip(Chip const &chip, Limits const &limits, Rights rights)
{
	if (chip.select >= limits.chip_selects) return Error::CHIP_SELECT_FAULT;
	if (chip.clock_hz > rights.clock_max_hz) return Error::DENIED;
	if (chip.mode > Mode::MODE_3 || !(limits.modes & (1u << unsigned(chip.mode))))
		return Error::UNSUPPORTED;
	if (chip.bits_per_word == 0 || chip.bits_per_word > 32) return Error::UNSUPPORTED;
	if (!(limits.bits_per_word & (1u << (chip.bits_per_word - 1)))) return Error::UNSUPPORTED;
	if (chip.clock_hz == 0 || chip.clock_hz < limits.clock_min_hz) return Error::UNSUPPORTED;
	if (chip.lsb_first && !limits.lsb_first) return Error::UNSUPPORTED;
	if (chip.select_active_high && !limits.select_active_high) return Error::UNSUPPORTED;
	if (chip.word_delay_ns && !limits.word_delay) return Error::UNSUPPORTED;
	return Ok{};
}

/* Words of more than 8 and 16 bits take 2 and 4 bytes of a buffer. */
static size_t word_bytes(unsigned bits_per_word)
{
	return bits_per_word <= 8 ? 1 : bits_per_word <= 16 ? 2 : 4;
}

/* A list may come from somewhere else: no combination of its fields is taken on trust. */
static bool makes_sense(Segment const &segment, size_t word, bool any_received)
{
	bool const sends = segment.sent, receives = segment.received;
	switch (segment.kind) {
	case Segment::Kind::OUT:
		if (!sends || receives) return false;
		break;
	case Segment::Kind::IN:
		if (sends || !receives) return false;
		break;
	case Segment::Kind::EXCHANGE:
		if (!sends || !receives) return false;
		break;
	case Segment::Kind::IN_PLACE:
		if (!sends || segment.sent != segment.received) return false;
		break;
	case Segment::Kind::DELAY: return !sends && !receives && !segment.size;
	case Segment::Kind::UNTIL:
		// Something must have been received to look at, in words of bytes.
		return !sends && !receives && !segment.size && any_received && segment.limit && word == 1;
	default: return false;
	}
	return segment.size && segment.size % word == 0;
}

Attempt<void, Error> Device::_check(std::span<Segment const> segments, After after) const
{
	Limits const &limits = _bus.limits();
	size_t sent = 0, received = 0;
	size_t const word = word_bytes(_chip.bits_per_word);
	bool condition = false;

	TRY(check_chip(_chip, limits, _rights));
	if (segments.empty()) return Error::INVALID;
	if (segments.size() > limits.segments_max) return Error::TOO_LONG;
	for (Segment const &segment : segments) {
		if (!makes_sense(segment, word, received)) return Error::INVALID;
		condition |= segment.kind == Segment::Kind::UNTIL;
		// Each byte counts against the limit once, hence no sum can overflow unnoticed.
		if (segment.sent && segment.size > limits.sent_max - sent) return Error::TOO_LONG;
		if (segment.received && segment.size > limits.received_max - received)
			return Error::TOO_LONG;
		if (segment.sent) sent += segment.size;
		if (segment.received) received += segment.size;
	}
	if (after == After::KEEP_SELECTED && !holds_bus()) return Error::NOT_OWNER;
	if (after == After::KEEP_SELECTED && !limits.keeps_selected) return Error::UNSUPPORTED;
	if (condition && !limits.conditional && !limits.keeps_selected) return Error::UNSUPPORTED;
	return Ok{};
}

void Device::_ended(bool ok, After after)
{
	// Who has released the bus meanwhile doesn't keep its chip.
	bool const keep = ok && after == After::KEEP_SELECTED && holds_bus();
	if (!ok || (after == After::KEEP_SELECTED && !keep)) _bus._controller.idle();
	_bus._selected = keep ? &_client : nullptr;
	_bus._arbiter.end(_client);
}

Task<void, Error> Device::transfer(Job &job, std::span<Segment const> segments, After after)
{
	if (Attempt<void, Error> const valid = _check(segments, after); !valid.ok())
		return valid.error();
	if (job.cancelled()) return Error::CANCELLED;
	if (!_bus._arbiter.try_begin(_client)) return _run_later(job, segments, after);
	return _run(job, segments, after);
}

Task<void, Error> Device::_run_later(Job &job, std::span<Segment const> segments, After after)
{
	{
		// What a turn ends, `Running` ends, too: from here on it is the one that does.
		CO_TRY_ASSIGN(Arbiter::Turn turn, co_await _bus._arbiter.turn(job, _client));
		// The hold may have ended meanwhile, or the settings changed.
		CO_TRY(_check(segments, after));
		turn.pass_on();
	}
	co_return co_await _run(job, segments, after);
}

/* The controller sees settings that don't change during a transfer. */
void Device::_choose_chip()
{
	Chip const &last = _bus._chip;
	bool const same_lines = _chip.select == last.select && _chip.mode == last.mode &&
		_chip.select_active_high == last.select_active_high;
	if (_bus._selected && !same_lines) {
		_bus._controller.idle();
		_bus._selected = nullptr;
	}
	_bus._chip = _chip;
}

/* The turn has begun. A controller that needn't wait makes no coroutine here. */
Task<void, Error> Device::_run(Job &job, std::span<Segment const> segments, After after)
{
	Running running{*this, after};
	_choose_chip();
	bool const emulate = !_bus.limits().conditional && has_condition(segments);
	Task<void, Error> task = emulate ? _emulate(job, segments, after)
									 : _bus._controller.transfer(job, _bus._chip, segments, after);
	if (!task.ready()) return _finish(job, {std::move(running), std::move(task)});
	Attempt<void, Error> const result = task.take();
	if (result.ok()) running.succeeded();
	return result;
}

Task<void, Error> Device::_finish(Job &, Unfinished unfinished)
{
	Attempt<void, Error> const result = co_await unfinished.task;
	if (result.ok()) unfinished.running.succeeded();
	co_return result;
}

/* Conditional segments on a controller that can keep the chip selected but can't look at bytes. */
Task<void, Error> Device::_emulate(Job &job, std::span<Segment const> segments, After after)
{
	Controller &controller = _bus._controller;
	Chip const &chip = _bus._chip;
	uint8_t last = 0;
	size_t begin = 0;

	for (size_t i = 0; i < segments.size(); i++) {
		Segment const &segment = segments[i];
		if (segment.kind != Segment::Kind::UNTIL) continue;
		if (i > begin) {
			CO_TRY(co_await controller.transfer(
				job, chip, segments.subspan(begin, i - begin), After::KEEP_SELECTED));
			for (Segment const &before : segments.subspan(begin, i - begin))
				if (receives(before)) last = before.received[before.size - 1];
		}
		begin = i + 1;
		for (uint32_t n = 0; (last & segment.mask) != segment.value; n++) {
			if (n == segment.limit) co_return Error::CONDITION_UNMET;
			Segment const one = Segment::in({&last, 1});
			CO_TRY(co_await controller.transfer(job, chip, {&one, 1}, After::KEEP_SELECTED));
		}
		if (segment.reselect) controller.idle();
	}
	if (begin < segments.size())
		co_return co_await controller.transfer(job, chip, segments.subspan(begin), after);
	if (after == After::DESELECT) controller.idle();
	co_return Ok{};
}

Attempt<void, Error> Device::configure(Chip const &chip)
{
	TRY(check_chip(chip, _bus.limits(), _rights));
	_chip = chip;
	return Ok{};
}

Attempt<void, Error> Device::try_acquire()
{
	if (!_rights.hold) return Error::DENIED;
	if (holds_bus()) return Error::INVALID;
	if (!_bus._arbiter.try_begin(_client)) return Error::BUSY;
	_bus._arbiter.hold(_client);
	_bus._arbiter.end(_client);
	return Ok{};
}

Task<void, Error> Device::acquire(Job &job)
{
	if (job.cancelled()) return Error::CANCELLED;
	Attempt<void, Error> const now = try_acquire();
	if (!now.ok() && now.error() == Error::BUSY) return _acquire_later(job);
	return now;
}

Task<void, Error> Device::_acquire_later(Job &job)
{
	CO_TRY_ASSIGN(Arbiter::Turn const turn, co_await _bus._arbiter.turn(job, _client));
	// Another job may have acquired it for the same device.
	if (holds_bus()) co_return Error::INVALID;
	_bus._arbiter.hold(_client);
	co_return Ok{};
}

Attempt<void, Error> Device::release()
{
	if (!holds_bus()) return Error::NOT_OWNER;
	// A transfer that goes on sees at its end that the bus is not held any more.
	if (_bus._selected == &_client && !_bus._arbiter.in_turn(_client)) {
		_bus._controller.idle();
		_bus._selected = nullptr;
	}
	_bus._arbiter.release(_client);
	return Ok{};
}

Device::~Device()
{
	if (holds_bus()) (void)release();
}

} // namespace bulkhead::spi
