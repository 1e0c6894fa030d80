#pragma once

// Which ports of a domain are in use, and which client waits for the end of which.

#include "rpc/qrexec/port_table.h"

#include <unordered_map>
#include <vector>

namespace bulkhead::qrexec {

class Port_book
{
public:
	/* Waits for the end of a connection. */
	class Waiter
	{
	protected:
		~Waiter() = default;

	public:
		virtual void connection_ended() = 0;
	};

private:
	struct Entry
	{
		Port_table::Lease lease;
		uint32_t caller;
		Waiter *waiter;
	};

	std::vector<Port_table::Storage> _ports;
	Port_table _table;
	std::unordered_map<uint32_t, Entry> _taken{}; // by port
	std::unordered_map<uint32_t, size_t> _taken_by{}; // how many, by caller

public:
	/* For a domain of this id, `most` calls at once. */
	explicit Port_book(uint32_t own, size_t most = Port_table::MOST);

	/*
	 * A port for a call from a domain; `waiter` may be null. Nothing if none is left, or if a
	 * domain other than the host has three quarters of those that it shares with others.
	 */
	std::optional<Port_table::Lease> take(uint32_t caller, Waiter *waiter);

	/*
	 * The agent says that a connection has ended: its port is free, and its waiter is told. False
	 * if there is none (any more), which does no harm.
	 */
	bool ended(Exec_params connection);

	/* The waiter is told of nothing any more; the port stays in use. */
	void forget(Port_table::Lease lease);

	/* The agent is gone, and will never tell. No waiter is told. */
	void give_back_all();

	size_t in_use() const { return _taken.size(); }
};

} // namespace bulkhead::qrexec
