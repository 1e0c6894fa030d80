#pragma once

// The calls that a component has asked its broker for and that aren't answered yet.

#include "sdk/component/gate_end.h"

#include <cstdint>
#include <map>
#include <string_view>

namespace bulkhead::component {

/* Somebody who has asked for a call. */
class Asker
{
protected:
	~Asker() = default;

public:
	/* Both stay until the answer. */
	std::string_view target{};
	std::string_view service{};

	/* Once; it is forgotten then. Errors: DENIED, BROKEN_PIPE, INVALID (the names). */
	virtual void answered(Attempt<linux_host::Channel_end> end, qrexec::Exec_params call) = 0;
};

class Asked_calls
{
private:
	Gate_end &_gate;
	std::map<uint64_t, Asker *> _asked{}; // by ident
	uint64_t _last = 0;
	bool _may_ask = false; // the broker has been greeted

	Asker *_take(std::string_view ident);
	void _send(uint64_t ident, Asker &);

public:
	explicit Asked_calls(Gate_end &gate) : _gate(gate) {}

	/* Returns by what it is forgotten. Nobody is answered from here. */
	uint64_t ask(Asker &);
	void forget(uint64_t ident) { _asked.erase(ident); }
	size_t size() const { return _asked.size(); }

	/* Asks for all anew, as the broker is another. */
	void ask_all();

	void connected(std::string_view ident, qrexec::Exec_params, linux_host::Channel_end end);
	void refused(std::string_view ident);
	/* Whether there can be such a domain and service. */
	static bool possible(Asker const &);
	/* Answers the others: INVALID. */
	void fail_impossible();
	/* None is answered any more. */
	void fail_all(Error);
};

} // namespace bulkhead::component
