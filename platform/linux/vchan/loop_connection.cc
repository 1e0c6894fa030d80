#include "platform/linux/vchan/loop_connection.h"

namespace bulkhead::linux_host {

Attempt<void> Loop_connection::start() { return _watch(); }

Attempt<void> Loop_connection::_watch()
{
	_handed_over = _connection.joined();
	if (!_handed_over) return _watcher.add(*this, _connection.fd(), EPOLLIN);
	// One system call for each ring instead of two.
	return _watcher.add(*this, _connection.hand_over(), Bell::events());
}

void Loop_connection::ready(uint32_t events)
{
	if (_handed_over) return _connection.heard(events);
	_outcome = _connection.look();
	if (_outcome.ok() && !_connection.joined()) return;
	_watcher.remove(*this);
	if (_outcome.ok() && !_watch().ok()) _outcome = Connect_error::OUT_OF_MEMORY;
	_changed.raise_all();
}

Task<void> Loop_connection::joined(Job &job, uint64_t until_us)
{
	while (_outcome.ok() && !_connection.joined()) CO_TRY(co_await _changed.wait(job, until_us));
	if (!_outcome.ok()) co_return Failure{_outcome.error()};
	co_return Ok{};
}

} // namespace bulkhead::linux_host
