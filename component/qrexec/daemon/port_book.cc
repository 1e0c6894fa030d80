#include "component/qrexec/daemon/port_book.h"

#include <algorithm>

namespace bulkhead::qrexec {

Port_book::Port_book(uint32_t own, size_t most) : _ports(most), _table(_ports, own) {}

std::optional<Port_table::Lease> Port_book::take(uint32_t caller, Waiter *waiter)
{
	// Of the half that a domain has ports in.
	size_t const share = std::max<size_t>(_ports.size() / 2 - _ports.size() / 8, 1);
	auto const taken = _taken_by.find(caller);
	if (caller != 0 && taken != _taken_by.end() && taken->second >= share) return {};
	auto const lease = _table.take(caller);
	if (!lease) return {};
	_taken[lease->port] = {*lease, caller, waiter};
	++_taken_by[caller];
	return lease;
}

bool Port_book::ended(Exec_params connection)
{
	auto const lease = _table.current(connection);
	if (!lease || !_table.give_back(*lease)) return false;
	auto const entry = _taken.find(lease->port);
	if (entry == _taken.end()) return true;
	Waiter *const waiter = entry->second.waiter;
	auto const caller = _taken_by.find(entry->second.caller);
	if (--caller->second == 0) _taken_by.erase(caller);
	_taken.erase(entry);
	if (waiter) waiter->connection_ended();
	return true;
}

void Port_book::forget(Port_table::Lease lease)
{
	auto const entry = _taken.find(lease.port);
	if (entry != _taken.end() && entry->second.lease.generation == lease.generation)
		entry->second.waiter = nullptr;
}

void Port_book::give_back_all()
{
	for (auto const &[port, entry] : _taken) (void)_table.give_back(entry.lease);
	_taken.clear();
	_taken_by.clear();
}

} // namespace bulkhead::qrexec
