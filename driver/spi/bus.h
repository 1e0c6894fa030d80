#pragma once

// An SPI bus is exclusive: one controller, one transfer at a time, in the order of asking. What a
// driver holds is a `Device`: one selected chip on the bus.

#include "driver/arbiter.h"
#include "driver/spi/controller.h"

namespace bulkhead::spi {

class Bus
{
private:
	friend class Device;

	Controller &_controller;
	Limits const &_limits; // the controller's
	Arbiter _arbiter{};
	Arbiter::Client const *_selected = nullptr; // whose chip was kept selected
	Chip _chip{}; // of the transfer that goes on, or was the last

public:
	explicit Bus(Controller &controller) : _controller(controller), _limits(controller.limits()) {}
	Bus(Bus const &) = delete;
	Bus &operator=(Bus const &) = delete;

	Limits const &limits() const { return _limits; }

	/* Whether a transfer goes on or a device holds the bus. */
	bool busy() const { return _arbiter.busy(); }
};

/* What the owner of a device may do with it. */
struct Rights
{
	uint32_t clock_max_hz = UINT32_MAX; // settings beyond it are DENIED
	bool hold = true; // may keep the bus between transfers
};

/*
 * One chip on a bus, as one client sees it. Several devices may stand for the same chip; each has
 * its own settings and holds the bus on its own account. Any number of jobs may use a device at
 * once: their transfers are put in order.
 */
class Device
{
private:
	Bus &_bus;
	Chip _chip;
	Rights _rights;
	bool _chip_checked = false; // against limits and rights, which don't change
	Arbiter::Client _client;

	class Running;
	struct Unfinished;

	Attempt<void, Error> _check(std::span<Segment const>, After);
	void _ended(bool ok, After);

	Task<void, Error> _run(Job &, std::span<Segment const>, After);
	Task<void, Error> _run_later(Job &, std::span<Segment const>, After);
	Task<void, Error> _finish(Job &, Unfinished);
	Task<void, Error> _emulate(Job &, std::span<Segment const>, After);
	void _choose_chip();
	Task<void, Error> _acquire_later(Job &);

public:
	/* The bus outlives the device. Settings that the controller lacks fail at the first transfer.
	 */
	Device(Bus &bus, Chip const &chip, Rights rights = {})
		: _bus(bus), _chip(chip), _rights(rights), _client(bus._arbiter)
	{}

	/*
	 * Deselects the chip and releases the bus if they were kept. No job transfers or waits for its
	 * turn with this device any more.
	 */
	~Device();

	Chip const &chip() const { return _chip; }
	Limits const &limits() const { return _bus.limits(); }

	/*
	 * Changes how the chip is talked to, from the next transfer that begins on: those that wait for
	 * their turn are checked once more then, as their segments may not fit the new words. That
	 * transfer selects the chip anew if another line or mode asks for it. Errors: UNSUPPORTED
	 * (mode, clock or word size that the controller doesn't have), CHIP_SELECT_FAULT, DENIED
	 * (beyond the rights).
	 */
	Attempt<void, Error> configure(Chip const &chip);

	/*
	 * Runs the segments with the chip selected; waits for the bus before, in order with others.
	 *
	 * KEEP_SELECTED needs a bus that this device holds (NOT_OWNER), both now and when the turn
	 * comes; if it is released during the transfer, the chip is deselected nonetheless. Errors: all
	 * of `Error`. After any error, cancellation or the end of the job the chip is deselected and
	 * the controller idle.
	 */
	Task<void, Error> transfer(
		Job &job, std::span<Segment const> segments, After after = After::DESELECT);

	/*
	 * Takes the bus for more than one transfer and keeps other devices out until `release`. Waits
	 * for its turn. Errors: CANCELLED, TIMEOUT, DENIED (no right to hold), INVALID (holds it
	 * already).
	 */
	Task<void, Error> acquire(Job &job);

	/* Takes the bus if it is free. Errors: BUSY, DENIED, INVALID. */
	Attempt<void, Error> try_acquire();

	/*
	 * Gives the bus back, with the chip deselected; a transfer of this device that goes on still
	 * ends before others begin. Error: NOT_OWNER. Does not block.
	 */
	Attempt<void, Error> release();

	/* Whether this device holds the bus between transfers. */
	bool holds_bus() const { return _bus._arbiter.held_by(_client); }
};

} // namespace bulkhead::spi
