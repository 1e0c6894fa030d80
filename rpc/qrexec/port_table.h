#pragma once

// Ports of data connections, as a daemon hands them out: the lowest that is free, but to a caller's
// domain that has given one back, the one that nobody has had for longest. Whoever is late to leave
// an old connection can't be taken for the new one.

#include "rpc/qrexec/message.h"

#include <array>
#include <optional>
#include <span>

namespace bulkhead::qrexec {

class Port_table
{
private:
	struct Port
	{
		uint32_t caller = 0;
		uint32_t generation = 0; // counted up when it is taken
		uint64_t freed = 0; // when it was given back last, counted; 0: never
		bool used = false;
	};

	std::span<Port> _ports;
	uint32_t const _own;
	uint64_t _count = 0; // of ports given back
	size_t _in_use = 0;

	// Which callers have given a port back, by the last bits of their number. One who is taken for
	// another gets a port that is as good.
	static constexpr size_t CALLERS = 1024;
	std::array<uint64_t, CALLERS / 64> _callers{};

	bool _known(uint32_t caller) const
	{
		return _callers[caller % CALLERS / 64] >> caller % 64 & 1;
	}
	Port *_choose(uint32_t caller, size_t from, size_t to);
	Port *_used(uint32_t number) const;

public:
	/* Names one use of a port. What is told of another use of it is out of date. */
	struct Lease
	{
		uint32_t port = 0;
		uint32_t generation = 0;

		bool operator==(Lease const &) const = default;
	};

	/* Upstream's range: what is used as long as there is a port left in it. */
	static constexpr size_t USUAL = 256;
	static constexpr size_t MOST = 16384; // calls of a domain at once

	using Storage = Port;

	/* `own`: the domain whose agent executes. The ports' memory is the caller's: 1 to MOST. */
	Port_table(std::span<Storage> ports, uint32_t own);

	/*
	 * A port for a call from this domain. 0 (the host) may have any; another domain those whose
	 * parity tells calls from calls the other way (upstream: offsets that are odd if `caller` is
	 * the greater number, else even). Nothing if all are taken.
	 */
	std::optional<Lease> take(uint32_t caller);

	/* Whose lease a port is now; nothing if it is free, or was never one. */
	std::optional<Lease> current(Exec_params of) const;

	/* Gives it back. False if it isn't (any more) in use like this. */
	bool give_back(Lease lease);

	size_t in_use() const { return _in_use; }
};

} // namespace bulkhead::qrexec
