#include "component/qrexec/daemon/requested_call.h"

#include "component/qrexec/client/connect.h"
#include "component/qrexec/host/log.h"
#include "rpc/qrexec/command_line.h"

namespace bulkhead::qrexec {
namespace {

Bytes with_nul(std::string const &text)
{
	return {reinterpret_cast<uint8_t const *>(text.c_str()), text.size() + 1};
}

} // namespace

Requested_call::~Requested_call()
{
	_loop.remove(*this);
	if (_waits) _host.no_longer(*this);
}

bool Requested_call::take_over(std::string_view ident)
{
	if (_answered || _over || decode_name(_ident) != ident) return false;
	_answered = true;
	_end();
	return true;
}

void Requested_call::_end()
{
	if (_over) return;
	_over = true;
	_loop.remove(*this);
	_link.close();
	_host.over(*this);
}

void Requested_call::_accept(Exec_params where)
{
	if (_over) return;
	_answered = true;
	_host.accept(_ident, where);
	_end();
}

void Requested_call::_refuse(std::string_view why)
{
	if (_over) return;
	if (!why.empty())
		log("call of ", _request.service, " from ", _request.source, " to ",
			_target.empty() ? _request.target : _target, " fails: ", why);
	_answered = true;
	_host.refuse(_ident);
	_end();
}

void Requested_call::policy_says(Policy_answer const &answer)
{
	if (_over) return;
	if (!answer.allow) return _refuse({});
	if (refers_to_host(answer.target) || refers_to_host(answer.target_uuid))
		_call_host(answer);
	else
		_call_domain(answer);
}

// A service always has an argument, if only an empty one.
std::string Requested_call::_service(Policy_answer const &answer) const
{
	std::string service(answer.service.empty() ? _request.service : answer.service);
	if (service.find('+') == service.npos) service += '+';
	return service;
}

// A RemoteVM is the source of what its relay asks for in its name.
std::string_view Requested_call::_source(Policy_answer const &answer) const
{
	return answer.policy_source.empty() ? std::string_view(_request.source) : answer.policy_source;
}

void Requested_call::_call_host(Policy_answer const &answer)
{
	std::string_view target = answer.requested_target;
	bool const keyword = target.starts_with('@');
	if (keyword) target.remove_prefix(1);
	std::string command = "QUBESRPC " + _service(answer) + ' ';
	command += _source(answer);
	command += keyword ? " keyword " : " name ";
	command += target;
	auto const lease = _host.ports().take(0, nullptr);
	if (!lease) return _refuse("the domain has as many calls as it can have");
	std::string const source(_source(answer));
	if (_host.run_on_host({_host.settings().domain, lease->port}, source, command))
		return _accept({0, lease->port});
	(void)_host.ports().ended({0, lease->port});
	_refuse("the host runs as many services as it may; see the limits of processes");
}

bool Requested_call::_own_domain(Policy_answer const &answer) const
{
	Settings const &own = _host.settings();
	if (answer.target == own.name) return true;
	return !own.uuid.empty() &&
		(answer.target == "uuid:" + own.uuid || answer.target_uuid == "uuid:" + own.uuid);
}

void Requested_call::_call_domain(Policy_answer const &answer)
{
	_autostart = answer.autostart;
	_target = answer.target_uuid.empty() ? answer.target : answer.target_uuid;
	if (!answer.target_uuid.empty()) _by_name = answer.target;
	bool const self = _own_domain(answer);
	std::string_view const user = self && answer.user == DEFAULT_USER
		? std::string_view(_host.settings().default_user)
		: answer.user;
	_command = std::string(user) + ":QUBESRPC " + _service(answer) + ' ';
	_command += _source(answer);
	if (_command.size() > CONTROL_COMMAND_MAX)
		return _refuse("its command line would be longer than an agent can be sent");
	if (self) {
		_waits = true;
		return _host.when_room(*this);
	}
	if (template_of_disposable(_target)) return _start_domain();
	_ask_daemon(_target);
}

size_t Requested_call::bytes() const
{
	return Header::BYTES + Exec_params::BYTES + _command.size() + 1;
}

// A call within the domain: its agent is asked on behalf of itself.
void Requested_call::go_on()
{
	_waits = false;
	if (_over) return;
	uint32_t const own = _host.settings().domain;
	auto const lease = _host.ports().take(own, nullptr);
	if (!lease) return _refuse("the domain has as many calls as it can have");
	_host.send_to_agent(Type::EXEC_CMDLINE, {own, lease->port}, with_nul(_command));
	_accept({own, lease->port});
}

void Requested_call::_ask_daemon(std::string const &target)
{
	auto const begun = _link.ask_daemon(_host.settings().socket_directory, target,
		Type::EXEC_CMDLINE, Exec_params{_host.settings().domain, 0}, _command);
	if (!begun.ok()) return _link_failed(begun.error());
	if (!_loop.add(*this, _link.fd(), _link.wanted()).ok())
		_refuse("the target's daemon can't be heard");
}

void Requested_call::ready(uint32_t) { _look_at_link(); }

void Requested_call::_look_at_link()
{
	auto const state = _link.look();
	if (!state.ok()) return _link_failed(state.error());
	if (state.value() == qrexec::Link::State::ANSWERED) return _accept(_link.answer());
	if (state.value() == qrexec::Link::State::ENDED)
		return _refuse("the target's daemon has ended it");
	// A queue before the daemon has another descriptor.
	if (_link.fd() == fd()) return (void)_loop.change(*this, _link.wanted());
	_loop.remove(*this);
	if (!_loop.add(*this, _link.fd(), _link.wanted()).ok())
		_refuse("the target's daemon can't be heard");
}

void Requested_call::_link_failed(Link_error error)
{
	_loop.remove(*this);
	bool const absent = error == Link_error::NOT_THERE;
	if (absent && !_by_name.empty()) return _ask_daemon(std::exchange(_by_name, {}));
	if (absent && _autostart) return _start_domain();
	_refuse(_link.message().empty() ? name_of(error) : std::string_view(_link.message()));
}

void Requested_call::_start_domain()
{
	if (!_autostart) return _refuse("it isn't running, and the policy says autostart=no");
	if (!_starter.start(_host.settings(), _target, _command))
		_refuse("there can be no process that starts it");
}

void Requested_call::domain_started(std::optional<Exec_params> answer)
{
	if (!answer) return _refuse("the domain isn't there");
	_accept(*answer);
}

} // namespace bulkhead::qrexec
