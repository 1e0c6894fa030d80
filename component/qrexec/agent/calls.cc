#include "component/qrexec/agent/calls.h"

#include "component/qrexec/host/log.h"
#include "platform/linux/vchan/name_watch.h"

namespace bulkhead::qrexec {

Calls::Calls(
	linux_host::Loop &loop, Serving serving, std::string fork_servers, rlimit files, Events &events)
	: _loop(loop),
	  _names(linux_host::Name_watch::keep()),
	  _serving(std::move(serving)),
	  _events(events),
	  _deadlines(loop, Served_call::CALLER_WITHIN_US),
	  _farewells(loop),
	  _workers(loop, _serving, *this, files),
	  _fork_servers(loop, std::move(fork_servers), *this)
{}

void Calls::serve(std::unique_ptr<Service_request> request)
{
	request->resolve(_serving.places, _serving.with_user);
	if (request->may_be_handed_over() && _fork_servers.hand_over(*request)) return;
	if (request->needs_worker()) {
		if (_workers.run(request)) return;
		request->what = Service_failure{EXIT_TROUBLE, "no process can be started for it"};
	}
	Ended &owner = *this;
	auto call =
		std::make_unique<Served_call>(_loop, _serving, _deadlines, std::move(request), owner);
	Served_call &it = *call;
	_here.emplace(&it, std::move(call));
	it.start();
}

void Calls::ended(Served_call &call)
{
	uint64_t const token = call.request().token;
	if (auto channel = call.take_channel()) _farewells.add(std::move(channel));
	_here.erase(&call);
	_events.call_ended(token);
}

void Calls::leave_others()
{
	std::erase_if(_here, [](auto const &each) { return !each.second->met(); });
	_workers.leave();
	_fork_servers.leave();
}

void Calls::call_ended(uint64_t token) { _events.call_ended(token); }

} // namespace bulkhead::qrexec
