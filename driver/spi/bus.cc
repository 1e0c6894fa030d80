#include "driver/spi/bus.h"

namespace bulkhead::spi {

// A transfer to a controller that needn't wait is one function: calls would be half of its cost.
#define ON_EVERY_TRANSFER [[gnu::always_inline]] inline

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

/* A list may come from somewhere else: no combination of a segment's fields is taken on trust. */
ON_EVERY_TRANSFER Attempt<void, Error> Device::_check(
	std::span<Segment const> segments, After after)
{
	Limits const &limits = _bus._limits;
	size_t const odd_bytes = word_bytes(_chip.bits_per_word) - 1; // a mask: words are of 2^n bytes
	size_t sent = 0, received = 0;
	bool condition = false;

	if (!_chip_checked) TRY(check_chip(_chip, limits, _rights));
	_chip_checked = true;
	if (segments.empty()) return Error::INVALID;
	if (segments.size() > limits.segments_max) return Error::TOO_LONG;
	for (Segment const &segment : segments) {
		if (segment.kind == Segment::Kind::DATA) {
			if (!segment.size || (segment.size & odd_bytes)) return Error::INVALID;
			if (!segment.sent && !segment.received) return Error::INVALID;
			// Each byte counts against the limit once, hence no sum can overflow unnoticed.
			if (segment.sent) {
				if (segment.size > limits.sent_max - sent) return Error::TOO_LONG;
				sent += segment.size;
			}
			if (segment.received) {
				if (segment.size > limits.received_max - received) return Error::TOO_LONG;
				received += segment.size;
			}
			continue;
		}
		if (segment.sent || segment.received || segment.size) return Error::INVALID;
		if (segment.kind == Segment::Kind::DELAY) continue;
		if (segment.kind != Segment::Kind::UNTIL) return Error::INVALID;
		// Something must have been received to look at, in words of bytes.
		if (!received || !segment.limit || odd_bytes) return Error::INVALID;
		condition = true;
	}
	if (after == After::KEEP_SELECTED && !holds_bus()) return Error::NOT_OWNER;
	if (after == After::KEEP_SELECTED && !limits.keeps_selected) return Error::UNSUPPORTED;
	if (condition && !limits.conditional && !limits.keeps_selected) return Error::UNSUPPORTED;
	return Ok{};
}

ON_EVERY_TRANSFER void Device::_ended(bool ok, After after)
{
	bool keep = false;
	if (!ok || after == After::KEEP_SELECTED) {
		// Who has released the bus meanwhile doesn't keep its chip.
		keep = ok && holds_bus();
		if (!keep) _bus._controller.idle();
	}
	_bus._selected = keep ? &_client : nullptr;
	_bus._arbiter.end(_client);
}

/* The controller sees settings that don't change during a transfer. */
ON_EVERY_TRANSFER void Device::_choose_chip()
{
	if (_bus._selected) {
		Chip const &last = _bus._chip;
		bool const same_lines = _chip.select == last.select && _chip.mode == last.mode &&
			_chip.select_active_high == last.select_active_high;
		if (!same_lines) _bus._controller.idle();
		if (!same_lines) _bus._selected = nullptr;
	}
	_bus._chip = _chip;
}

/* The turn has begun. A controller that needn't wait makes no coroutine here. */
ON_EVERY_TRANSFER Task<void, Error> Device::_run(
	Job &job, std::span<Segment const> segments, After after)
{
	_choose_chip();
	bool const emulate = !_bus._limits.conditional && has_condition(segments);
	Task<void, Error> task = emulate ? _emulate(job, segments, after)
									 : _bus._controller.transfer(job, _bus._chip, segments, after);
	if (!task.ready()) return _finish(job, {Running{*this, after}, std::move(task)});
	Attempt<void, Error> const result = task.take();
	_ended(result.ok(), after);
	return result;
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
	TRY(check_chip(chip, _bus._limits, _rights));
	_chip = chip;
	_chip_checked = true;
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
