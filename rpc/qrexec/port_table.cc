#include "rpc/qrexec/port_table.h"

namespace bulkhead::qrexec {

Port_table::Port_table(std::span<Port> ports, uint32_t own) : _ports(ports), _own(own)
{
	BULKHEAD_ASSERT(!ports.empty() && ports.size() <= MOST);
	std::ranges::fill(ports, Port{});
}

Port_table::Port *Port_table::_choose(uint32_t caller, size_t from, size_t to)
{
	size_t const step = caller == 0 ? 1 : 2;
	if (step == 2 && from % 2 != (caller > _own ? 1 : 0)) ++from;
	Port *chosen = nullptr;
	for (size_t i = from; i < to; i += step) {
		Port &port = _ports[i];
		if (port.used || (chosen && chosen->freed <= port.freed)) continue;
		chosen = &port;
		if (port.freed == 0 || !_known(caller)) break;
	}
	return chosen;
}

std::optional<Port_table::Lease> Port_table::take(uint32_t caller)
{
	size_t const usual = std::min(USUAL, _ports.size());
	Port *port = _choose(caller, 0, usual);
	if (!port) port = _choose(caller, usual, _ports.size());
	if (!port) return {};
	port->used = true;
	port->caller = caller;
	++port->generation;
	++_in_use;
	return Lease{static_cast<uint32_t>(DATA_PORT_FIRST + (port - _ports.data())), port->generation};
}

Port_table::Port *Port_table::_used(uint32_t number) const
{
	if (number < DATA_PORT_FIRST || number - DATA_PORT_FIRST >= _ports.size()) return nullptr;
	Port &port = _ports[number - DATA_PORT_FIRST];
	return port.used ? &port : nullptr;
}

std::optional<Port_table::Lease> Port_table::current(Exec_params of) const
{
	Port const *const port = _used(of.port);
	if (!port || port->caller != of.domain) return {};
	return Lease{of.port, port->generation};
}

bool Port_table::give_back(Lease lease)
{
	Port *const port = _used(lease.port);
	if (!port || port->generation != lease.generation) return false;
	port->used = false;
	port->freed = ++_count;
	--_in_use;
	_callers[port->caller % CALLERS / 64] |= uint64_t{1} << (port->caller % 64);
	return true;
}

} // namespace bulkhead::qrexec
