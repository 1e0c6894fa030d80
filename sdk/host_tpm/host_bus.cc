#include "sdk/host_tpm/host_bus.h"

#include "platform/linux/spidev.h"
#include "platform/sim/swtpm.h"
#include "platform/sim/tpm_wire.h"

#include <cerrno>
#include <new>
#include <time.h>

namespace bulkhead::sdk {

class Host_bus::Simulation
{
public:
	sim::Swtpm swtpm{};
	sim::Tpm_registers registers{swtpm};
	sim::Tpm_wire wire;

	explicit Simulation(spi::Limits const &limits) : wire(limits) { wire.attach(0, registers); }
};

Host_bus::Host_bus() = default;
Host_bus::~Host_bus() = default;

Error Host_bus::_fail(Error error, std::string message)
{
	_message = std::move(message);
	return error;
}

static Error error_of(sim::Swtpm_error error)
{
	switch (error) {
	case sim::Swtpm_error::NO_SOCKET: return Error::NOT_FOUND;
	case sim::Swtpm_error::BAD_ADDRESS: return Error::INVALID;
	case sim::Swtpm_error::TIMEOUT: return Error::TIMEOUT;
	case sim::Swtpm_error::REFUSED:
	case sim::Swtpm_error::CLOSED: return Error::GONE;
	default: return Error::IO;
	}
}

Attempt<spi::Controller *> Host_bus::_open_simulation()
{
	spi::Limits limits = sim::Tpm_wire::everything();
	limits.conditional = _name.conditional;
	limits.keeps_selected = _name.keeps_selected;
	_simulation.reset(new (std::nothrow) Simulation(limits));
	if (!_simulation) return _fail(Error::OUT_OF_MEMORY, "out of memory");
	_simulation->registers.chip.wait_states = _name.wait_states;
	_simulation->registers.chip.burst_count = _name.burst_count;
	auto const connected = _simulation->swtpm.connect(_name.path, _name.control);
	if (!connected.ok()) return _fail(error_of(connected.error()), _simulation->swtpm.message());
	return &_simulation->wire;
}

Attempt<spi::Controller *> Host_bus::_open_spidev()
{
	_spidev.reset(new (std::nothrow) linux_host::Spidev);
	if (!_spidev) return _fail(Error::OUT_OF_MEMORY, "out of memory");
	std::string const path(_name.path);
	if (auto const opened = _spidev->open(path.c_str()); !opened.ok()) {
		std::string const remedy(linux_host::spidev_remedy(opened.error()));
		std::string const reason(name_of(opened.error()));
		return _fail(opened.error(), path + ": " + reason + (remedy.empty() ? "" : ": ") + remedy);
	}
	return _spidev.get();
}

Attempt<void> Host_bus::open(std::string_view name)
{
	BULKHEAD_ASSERT(!_bus);
	_text = name;
	auto const parsed = parse_host_name(_text);
	if (!parsed.ok())
		return _fail(Error::INVALID, "'" + _text + "': " + std::string(name_of(parsed.error())));
	_name = parsed.value();

	bool const simulated = _name.kind == Host_name::Kind::SIM;
	spi::Controller *const controller = TRY(simulated ? _open_simulation() : _open_spidev());
	_controller.emplace(*controller);
	_bus.emplace(*_controller);
	_device.emplace(*_bus, spi::Chip{.select = _name.select, .clock_hz = _name.clock_hz});
	return Ok{};
}

void Host_bus::let_chip_block(bool block)
{
	if (_simulation) _simulation->swtpm.blocking = block;
}

bool Host_bus::poll(uint64_t until_us)
{
	if (_simulation && _simulation->swtpm.busy()) {
		uint64_t const now = now_us();
		uint64_t const duration_us =
			until_us == NEVER_US ? NEVER_US : until_us - std::min(now, until_us);
		// An error shows in the chip's registers: it is dead then.
		(void)_simulation->swtpm.wait(duration_us);
		return !_simulation->swtpm.busy();
	}
	if (until_us == 0) return false;
	// Nobody else would ever end such a wait.
	BULKHEAD_ASSERT(until_us != NEVER_US);
	sleep_until(until_us);
	return false;
}

void Host_bus::sleep_until(uint64_t until_us)
{
	timespec const until{
		static_cast<time_t>(until_us / 1'000'000), static_cast<long>(until_us % 1'000'000 * 1000)};
	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

int Host_bus::fd() const { return _simulation ? _simulation->swtpm.fd() : -1; }

} // namespace bulkhead::sdk
