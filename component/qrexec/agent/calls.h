#pragma once

// All calls that a process serves, in whichever way: in its own loop, by a worker, by a fork
// server.

#include "component/qrexec/agent/farewells.h"
#include "component/qrexec/agent/fork_servers.h"
#include "component/qrexec/agent/workers.h"

#include <unordered_map>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread, the only one of its process. */
class Calls final : private Served_call::Ended,
					private Workers::Events,
					private Fork_servers::Events
{
public:
	class Events
	{
	protected:
		~Events() = default;

	public:
		/* By the `token` of its request. */
		virtual void call_ended(uint64_t token) = 0;
	};

private:
	linux_host::Loop &_loop;
	std::shared_ptr<void> const _names; // see Name_watch::keep
	Serving const _serving;
	Events &_events;
	Deadlines _deadlines;
	Farewells _farewells;
	Workers _workers;
	Fork_servers _fork_servers;
	std::unordered_map<Served_call *, std::unique_ptr<Served_call>> _here{};

	void ended(Served_call &call) override;
	void call_ended(uint64_t token) override;

public:
	/*
	 * `fork_servers`: their sockets, see Fork_servers; `files`: the limit of open descriptors that
	 * services get.
	 */
	Calls(linux_host::Loop &loop, Serving serving, std::string fork_servers, rlimit files,
		Events &events);

	/* Forks a worker while the process is small. */
	void prepare() { _workers.prepare(); }

	/* Serves a call that isn't resolved yet. Its end may be told from in here. */
	void serve(std::unique_ptr<Service_request> request);

	/*
	 * Leaves those that others carry to themselves, and drops those whose caller hasn't come: their
	 * end isn't told.
	 */
	void leave_others();

	/* How many are carried by this process. */
	size_t here() const { return _here.size(); }
};

} // namespace bulkhead::qrexec
