#include "component/program/services.h"

#include "component/qrexec/host/log.h"
#include "rpc/qrexec/message.h"
#include "sdk/libvchan/shm_transport.h"

#include <algorithm>

namespace bulkhead::component {

using namespace qrexec;

Services::Services(linux_host::Loop &loop, Env &env, Reaper &reaper,
	std::vector<domain::Service_command> const &commands)
	: _loop(loop),
	  _env(env),
	  _reaper(reaper),
	  _commands(commands),
	  _deadlines(loop, Served_call::CALLER_WITHIN_US)
{}

Services::~Services() = default;

void Services::offer()
{
	_env.serve("*", [this](Env::Given_call call) { _take(std::move(call)); });
}

domain::Service_command const *Services::_command_for(std::string_view service) const
{
	for (std::string_view const name : {service, std::string_view("*")}) {
		auto const found = std::ranges::find(_commands, name, &domain::Service_command::service);
		if (found != _commands.end()) return &*found;
	}
	return nullptr;
}

// As an agent has it from its daemon, so that a service sees no difference.
std::unique_ptr<Service_request> Services::_request(Env::Given_call const &call) const
{
	auto request = std::make_unique<Service_request>();
	request->params = {call.domain, call.port};
	request->line = "QUBESRPC " + call.full_name + " " + call.caller;
	request->what = Service_failure{EXIT_TROUBLE, "a name that no service can have"};
	auto const parsed = parse_command_line(request->line, false);
	if (!parsed.ok() || parsed.value().full_name != call.full_name) return request;
	request->command = parsed.value();
	domain::Service_command const *const found = _command_for(request->command.service);
	if (!found) {
		request->what = Service_failure{EXIT_NO_SERVICE, "there is no such service"};
		return request;
	}
	Found_service service;
	service.path = found->command.front();
	service.arguments.assign(found->command.begin() + 1, found->command.end());
	request->what = std::move(service);
	return request;
}

void Services::_take(Env::Given_call given)
{
	auto transport = std::make_unique<sdk::Shm_transport>();
	if (transport->adopt(std::move(given.end)) != 0) {
		log(given.full_name, ", for ", given.caller, ": ", transport->message());
		return _env.ended(given.domain, given.port);
	}
	Ended &owner = *this;
	auto call = std::make_unique<Served_call>(_loop, _serving, _deadlines, _request(given), owner);
	Served_call &started = *call;
	_running.emplace(&started, Running{std::move(call), given.domain, given.port});
	started.start(std::make_unique<Data_channel>(std::move(transport), Side::SERVICE));
}

void Services::started(Served_call &call, pid_t process)
{
	_running.at(&call).process = process;
	_reaper.keep(process);
}

void Services::reaped(Served_call &call, pid_t process)
{
	_running.at(&call).process = -1;
	_reaper.release(process);
}

void Services::ended(Served_call &call)
{
	auto const found = _running.find(&call);
	Running const over = std::move(found->second);
	_running.erase(found);
	// Of a call that couldn't be carried out, its process is everybody's.
	if (over.process >= 0) _reaper.release(over.process);
	_env.ended(over.domain, over.port);
}

} // namespace bulkhead::component
