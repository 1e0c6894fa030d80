#include "component/qrexec/daemon/daemon.h"

#include "component/qrexec/client/host_service.h"
#include "component/qrexec/daemon/child.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "rpc/qrexec/name.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Loop;
using Loss = Agent_connection::Loss;

// How long a domain that has called the host may take to listen. It does so before it hears that
// it may, mostly; a domain that is slow mustn't lose its call.
constexpr int HOST_SERVICE_TIMEOUT_S = 60;

constexpr uint64_t US_PER_S = 1'000'000;

// Agents that may go before the next one has to wait for a moment.
constexpr uint64_t LOSSES_AT_ONCE = 16;
constexpr uint64_t PAUSE_US = 200'000;

// As the host's own bytes they are never shown, but names go to processes and into files.
std::string sanitized(std::string_view name, std::string_view also_allowed)
{
	std::string result(name);
	sanitize(result, also_allowed);
	return result;
}

} // namespace

/* Something that is to be done later. */
class Daemon::Timer final : private Loop::Source
{
private:
	using Action = void (Daemon::*)();

	Daemon &_daemon;
	Action const _action;
	linux_host::Owned_fd _timer{};

	void ready(uint32_t) override
	{
		stop();
		(_daemon.*_action)();
	}

public:
	Timer(Daemon &daemon, Action action) : _daemon(daemon), _action(action) {}
	~Timer() { stop(); }

	bool start(uint64_t after_us)
	{
		_timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
		itimerspec time{};
		time.it_value.tv_sec = static_cast<time_t>(after_us / US_PER_S);
		time.it_value.tv_nsec = static_cast<long>(after_us % US_PER_S * 1000);
		return _timer && timerfd_settime(_timer.value(), 0, &time, nullptr) == 0 &&
			_daemon._loop.add(*this, _timer.value(), EPOLLIN).ok();
	}

	void stop()
	{
		_daemon._loop.remove(*this);
		_timer.reset();
	}
};

Daemon::Daemon(Settings const &settings, std::function<void(Exit)> tell)
	: Remote(_loop),
	  _settings(settings),
	  _tell(std::move(tell)),
	  _ports(settings.domain),
	  _timer(std::make_unique<Timer>(*this, &Daemon::_give_up)),
	  _pause(std::make_unique<Timer>(*this, &Daemon::_find_agent)),
	  _losses(LOSSES_AT_ONCE, PAUSE_US)
{}

Daemon::~Daemon() { _let_go_of_all(); }

// No agent has come.
void Daemon::_give_up()
{
	log("no agent in domain ", _settings.name, " for ", _settings.startup_timeout_s,
		" s, giving up; look whether qrexec-agent runs there, or set QREXEC_STARTUP_TIMEOUT");
	_fail(NO_AGENT);
}

void Daemon::_fail(Exit exit)
{
	_exit_code = exit;
	if (_tell) std::exchange(_tell, nullptr)(exit);
	_loop.stop();
}

Daemon::Exit Daemon::run()
{
	bool const usable =
		_loop.usable().ok() && Signals::start(_loop, {SIGTERM, SIGINT, SIGHUP, SIGCHLD}).ok();
	if (!usable) {
		log("no descriptors are left");
		return FAILED;
	}
	if (_settings.startup_timeout_s > 0)
		(void)_timer->start(static_cast<uint64_t>(_settings.startup_timeout_s) * US_PER_S);
	_find_agent();
	_loop.run();
	_public.close();
	return _exit_code;
}

void Daemon::_find_agent()
{
	std::string why;
	if (_agent.start(_settings.domain, why)) return;
	log("the agent of domain ", _settings.name, " can't be looked for: ", why);
	_fail(_tell ? NO_AGENT : FAILED);
}

void Daemon::signalled(int number)
{
	if (number == SIGCHLD) return _reap();
	_loop.stop();
}

void Daemon::_reap()
{
	int status = 0;
	while (true) {
		pid_t const process = waitpid(-1, &status, WNOHANG);
		if (process < 0 && errno == EINTR) continue;
		if (process <= 0) return;
		_host_services.erase(process);
		_policy.child_ended(process, status);
	}
}

void Daemon::posted()
{
	_left.clear();
	_over.clear();
}

void Daemon::agent_came(uint32_t)
{
	_timer->stop();
	if (!_public.open()) return _fail(FAILED);
	if (!_tell) return log("the agent of domain ", _settings.name, " is back");
	std::exchange(_tell, nullptr)(DONE);
}

void Daemon::agent_lost(Loss loss, std::string const &why)
{
	log("the agent of domain ", _settings.name, ": ", why);
	_public.close();
	_let_go_of_all();
	_agent.close();
	// Another one may do better. What is wrong from the start is for whoever has started us.
	bool const once_more = loss == Loss::GONE || (loss == Loss::MISBEHAVED && !_tell);
	// One that comes and goes as fast as it can must not keep a processor of the host busy.
	if (once_more && !_losses.admits(_loop.clock().now_us()) && _pause->start(PAUSE_US)) return;
	if (once_more) return _find_agent();
	if (loss == Loss::OLD_VERSION)
		log("update qrexec in that domain, or on the host: versions ", VERSION_MIN, " to ", VERSION,
			" are understood");
	_fail(loss == Loss::NO_DOMAIN && _tell ? NO_AGENT : FAILED);
}

// Established calls go on without us; all else is over.
void Daemon::_let_go_of_all()
{
	_waiting.clear();
	while (!_visits.empty()) _visits.front()->leave();
	while (!_calls.empty()) _calls.front()->leave();
	_ports.give_back_all();
}

void Daemon::client_came(linux_host::Owned_fd socket)
{
	if (_visits.size() >= VISITS_MAX) return log("a client is turned away: there are too many");
	Visit::Host &host = *this;
	_visits.push_front(std::make_unique<Visit>(_loop, host, std::move(socket)));
	Visit &visit = *_visits.front();
	visit.place = _visits.begin();
	if (!visit.start()) visit.leave();
}

void Daemon::leave(Visit &visit)
{
	_left.splice(_left.end(), _visits, visit.place);
	post();
}

void Daemon::over(Requested_call &call)
{
	_requested_bytes -= call.name_bytes();
	_over.splice(_over.end(), _calls, call.place);
	post();
}

void Daemon::when_room(Waits_for_room &waiter)
{
	if (_waiting.empty() && _agent.room_for(waiter.bytes()))
		waiter.go_on();
	else
		_waiting.push_back(&waiter);
}

void Daemon::no_longer(Waits_for_room &waiter) { std::erase(_waiting, &waiter); }

void Daemon::when_taken(Visit &visit) { _told.push_back({_agent.taken_with_queued(), &visit}); }

void Daemon::no_longer_when_taken(Visit &visit)
{
	std::erase_if(_told, [&](Told const &told) { return told.visit == &visit; });
}

void Daemon::agent_took()
{
	while (!_told.empty() && _told.front().when <= _agent.taken()) {
		Visit &visit = *_told.front().visit;
		_told.pop_front();
		visit.taken();
	}
	while (!_waiting.empty() && _agent.room_for(_waiting.front()->bytes())) {
		Waits_for_room &waiter = *_waiting.front();
		_waiting.pop_front();
		waiter.go_on();
	}
}

void Daemon::send_to_agent(Type type, Exec_params params, Bytes text)
{
	std::array<uint8_t, Exec_params::BYTES> encoded{};
	encode(params, std::span(encoded));
	_agent.send(type, {encoded, text});
}

void Daemon::accept(Ident_bytes const &ident, Exec_params where)
{
	send_to_agent(Type::SERVICE_CONNECT, where, ident);
}

void Daemon::refuse(Ident_bytes const &ident) { _agent.send(Type::SERVICE_REFUSED, {ident}); }

bool Daemon::answered_by_client(std::string_view ident)
{
	for (auto const &call : _calls)
		if (call->take_over(ident)) return true;
	return false;
}

bool Daemon::run_on_host(Exec_params caller, std::string const &name, std::string const &command)
{
	if (_host_services.size() >= HOST_SERVICES_MAX) return false;
	pid_t const process = fork_child(_settings);
	if (process == 0)
		::_exit(run_host_service({.caller = caller,
			.caller_name = name,
			.command = command,
			.timeout_s = HOST_SERVICE_TIMEOUT_S}));
	if (process > 0) _host_services[process] = true;
	return process > 0;
}

void Daemon::agent_said(Type type, Bytes body)
{
	if (type == Type::CONNECTION_TERMINATED)
		(void)_ports.ended(decode_exec_params(body));
	else
		_requested(type, body);
}

void Daemon::_requested(Type type, Bytes body)
{
	Ident_bytes ident{};
	copy_bytes(ident, trigger_ident(type, body));
	auto const trigger = decode_trigger(type, body);
	bool const fit = trigger && valid_ident(trigger->ident) &&
		std::all_of(ident.begin() + static_cast<ptrdiff_t>(trigger->ident.size()), ident.end(),
			[](uint8_t byte) { return byte == 0; });
	if (!fit) {
		log("domain ", _settings.name, " asks for a call with a broken name or ident: refused");
		return refuse(ident);
	}
	size_t const name_bytes = trigger->service.size();
	if (_calls.size() >= REQUESTS_MAX || name_bytes > REQUESTED_BYTES_MAX - _requested_bytes) {
		log("domain ", _settings.name, " asks for more than ", REQUESTS_MAX,
			" calls at once, or names services of more than ", REQUESTED_BYTES_MAX, " bytes");
		return refuse(ident);
	}
	Policy_request request{.source = _settings.name,
		.requested_source = sanitized(trigger->source, IN_TARGETS),
		.target = sanitized(trigger->target, IN_TARGETS),
		.service = sanitized(trigger->service, IN_SERVICES)};
	Requested_call::Host &host = *this;
	_calls.push_front(
		std::make_unique<Requested_call>(_loop, host, _policy, ident, std::move(request)));
	Requested_call &call = *_calls.front();
	call.place = _calls.begin();
	_requested_bytes += call.name_bytes();
	call.start();
}

} // namespace bulkhead::qrexec
