#include "sdk/host_tpm/host_tpm.h"

namespace bulkhead::sdk {

Attempt<void, tpm::Error> Host_tpm::_start(uint8_t locality)
{
	// swtpm learns of localities through its control socket only.
	Host_name const &name = _bus.name();
	bool const unheard_of = name.kind == Host_name::Kind::SIM && name.control.empty();
	if (locality != 0 && unheard_of) return tpm::Error::LOCALITY_DENIED;
	_tis.emplace(*_access, tpm::Tis_config{.locality = locality});
	return _bus.run(_tis->start(_bus.job()));
}

Attempt<void> Host_tpm::open(std::string_view name)
{
	_error = {};
	if (Attempt<void> const opened = _bus.open(name); !opened.ok()) {
		_message = _bus.message();
		return opened;
	}
	_access.emplace(_bus.device());
	Attempt<void, tpm::Error> const started = _start(_bus.name().locality);
	if (started.ok()) return Ok{};
	_error = started.error();
	_message = "'" + std::string(name) + "': " + std::string(name_of(started.error()));
	return outer_error(started.error());
}

/* Gives up what goes on, and lets others have the locality. */
Host_tpm::~Host_tpm()
{
	if (!_tis || !_tis->started()) return;
	if (!_root.done()) {
		_bus.job().cancel();
		(void)wait();
	}
	_root = Root();
	_bus.job().reset();
	(void)_bus.run(_tis->relinquish(_bus.job()));
}

Root Host_tpm::_run(Job &job, Host_tpm &tpm, size_t size)
{
	Bytes const command = std::span(tpm._buffer).first(size);
	Attempt<size_t, tpm::Error> const done = co_await tpm._tis->execute(job, command, tpm._buffer);
	tpm._error = done.ok() ? tpm::Error{} : done.error();
	tpm._size = done.ok() ? done.value() : 0;
}

Attempt<void> Host_tpm::begin(Bytes command)
{
	if (!_root.done()) return Error::BUSY;
	if (command.size() > sizeof(_buffer)) return Error::TOO_LONG;
	copy_bytes(_buffer, command);
	_root = Root();
	_root = _run(_bus.job(), *this, command.size());
	_error = tpm::Error::OUT_OF_FRAMES;
	return _root.start(_bus.job());
}

bool Host_tpm::wait(uint64_t until_us)
{
	Executor &executor = _bus.job().executor;
	_bus.let_chip_block(until_us == NEVER_US);
	do {
		executor.run_ready();
		if (_root.done()) return true;
		if (_bus.poll(std::min(until_us, next_look_us()))) _tis->interrupt();
		executor.expire();
		executor.run_ready();
		if (_root.done()) return true;
	} while (_bus.now_us() < until_us);
	return false;
}

uint64_t Host_tpm::next_look_us()
{
	Executor &executor = _bus.job().executor;
	return executor.ready() ? 0 : executor.next_deadline_us();
}

Attempt<Bytes, tpm::Error> Host_tpm::response() const
{
	if (_error != tpm::Error{}) return _error;
	return Bytes{_buffer}.first(_size);
}

void Host_tpm::cancel()
{
	if (_root.done() || _tis->cancel(_bus.job())) return;
	// Nobody has waited for it so far: the driver doesn't know of it yet.
	(void)wait(0);
	(void)_tis->cancel(_bus.job());
}

Attempt<void, tpm::Error> Host_tpm::change_locality(uint8_t locality)
{
	BULKHEAD_ASSERT(_root.done());
	uint8_t const before = _tis->config().locality;
	if (locality == before) return Ok{};
	TRY(_bus.run(_tis->relinquish(_bus.job())));
	Attempt<void, tpm::Error> const started = _start(locality);
	if (!started.ok()) TRY(_start(before));
	return started;
}

} // namespace bulkhead::sdk
