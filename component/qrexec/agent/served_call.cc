#include "component/qrexec/agent/served_call.h"

#include "component/qrexec/host/log.h"
#include "sdk/libvchan/rendezvous.h"

namespace bulkhead::qrexec {

Served_call::Served_call(linux_host::Loop &loop, Serving const &serving, Deadlines &deadlines,
	std::unique_ptr<Service_request> request, Ended &ended)
	: _loop(loop),
	  _serving(serving),
	  _deadlines(deadlines),
	  _request(std::move(request)),
	  _ended(ended)
{}

Served_call::~Served_call() { _loop.remove(*this); }

void Served_call::start()
{
	sdk::Wanted wanted{};
	wanted.server = false;
	wanted.own = sdk::OWN_FROM_ENVIRONMENT;
	wanted.peer = static_cast<int>(_request->params.domain);
	wanted.port = static_cast<int>(_request->params.port);
	wanted.within_domain = true;
	int error = 0;
	std::string why;
	auto transport = sdk::open_transport(nullptr, std::move(wanted), error, why);
	if (!transport) return _over(why);
	start(std::make_unique<Data_channel>(std::move(transport), Side::SERVICE));
}

void Served_call::start(std::unique_ptr<Data_channel> channel)
{
	_channel = std::move(channel);
	if (_channel->state() == Data_channel::State::OPEN) return _connected();
	Attempt<void> const added = _loop.add(*this, _channel->fd(), EPOLLIN);
	if (!added.ok()) return _over(name_of(added.error()));
	if (!_deadlines.begin(*this).ok()) return _over("no timer");
	// What has come before it was watched is told by nobody.
	ready(0);
}

void Served_call::ready(uint32_t)
{
	switch (_channel->look()) {
	case Data_channel::State::WAITING:
	case Data_channel::State::GREETING: return;
	case Data_channel::State::OPEN: return _failed_with ? _answer() : _connected();
	case Data_channel::State::CLOSED:
	case Data_channel::State::BROKEN: break;
	}
	_over(_channel->message());
}

void Served_call::expired() { _over("its caller didn't come in time"); }

void Served_call::_over(std::string_view why)
{
	withdraw();
	_loop.remove(*this);
	if (!why.empty())
		log(_request->name(), ", for domain ", _request->params.domain, ", port ",
			_request->params.port, ": ", why);
	_ended.ended(*this);
}

void Served_call::_connected()
{
	withdraw();
	Relay_options options{};
	options.just_exec = _request->type == Type::JUST_EXEC;
	auto started = _start_service(options);
	if (Service_failure const *const failure = std::get_if<Service_failure>(&started))
		return _fail(*failure);
	_relay_to(std::move(std::get<Local_end>(started)), options);
}

std::variant<Local_end, Service_failure> Served_call::_start_service(Relay_options &options)
{
	if (Service_failure const *const failure = _request->failure()) return *failure;
	Start_options start{};
	start.user = _request->user();
	start.log_in = _serving.log_in;
	start.shell = _serving.shell;
	start.discard_streams = options.just_exec;
	Found_service const *const service = _request->service();
	if (!service) return start_command(_request->command, start);
	// An executable has no use for them, but may have them.
	bool const socket = service->kind != Found_service::Kind::EXECUTABLE;
	options.exit_on_client_eof = socket && service->config.exit_on_client_eof;
	options.exit_on_service_eof = socket && service->config.exit_on_service_eof;
	return start_service(*service, _request->command, start);
}

void Served_call::_relay_to(Local_end local, Relay_options const &options)
{
	_loop.remove(*this);
	if (options.just_exec) _left = std::exchange(local.process, -1);
	if (local.process >= 0) _ended.started(*this, local.process);
	Finished &finished = *this;
	_relay.emplace(_loop, std::move(_channel), Side::SERVICE, std::move(local), options, finished);
	Attempt<void> const started = _relay->start();
	if (!started.ok()) _over(name_of(started.error()));
}

void Served_call::_fail(Service_failure const &failure)
{
	log(_request->name(), ": ", failure.message);
	_failed_with = failure.exit_code;
	if (!loop() && !_loop.add(*this, _channel->fd(), EPOLLIN).ok())
		return _over("it can't be watched");
	_answer();
}

// False: there is no room now.
bool Served_call::_send_next()
{
	if (_request->type == Type::JUST_EXEC || _answered == 2)
		return _channel->send_exit_code(*_failed_with);
	return _channel->send_end(_answered == 0 ? Stream::OUT : Stream::ERR);
}

void Served_call::_answer()
{
	uint8_t const messages = _request->type == Type::JUST_EXEC ? 1 : 3;
	for (bool armed = false;;) {
		while (_answered < messages && _send_next()) ++_answered;
		bool const gone = _channel->peer_gone() || _channel->state() != Data_channel::State::OPEN;
		if (gone || (_answered == messages && _channel->delivered())) return _over("");
		if (armed) return;
		_channel->arm(false, true);
		armed = true;
	}
}

void Served_call::reaped(pid_t process) { _ended.reaped(*this, process); }

void Served_call::finished(Relay &, Ending const &ending) { _over(ending.message); }

void Served_call::use_stdin_for_output()
{
	if (_relay) _relay->use_stdin_for_output();
}

} // namespace bulkhead::qrexec
