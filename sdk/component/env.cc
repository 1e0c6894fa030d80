#include "sdk/component/env.h"

#include "sdk/component/asked_calls.h"
#include "sdk/component/inherited.h"
#include "sdk/component/served_calls.h"
#include "sdk/component/stderr_log.h"
#include "sdk/qrexec/end_of_turn.h"

#include <cstdlib>
#include <list>
#include <optional>

namespace bulkhead::component {

using linux_host::Channel_end;
using linux_host::Loop;
using linux_host::Owned_fd;
using qrexec::Exec_params;
using qrexec::Loop_channel;

struct Env::Inside final : From_broker, qrexec::End_of_turn
{
	class Given_asker;
	class Asking_job;

	Loop &loop;
	Limits const limits;
	Stderr_log lines{};
	Log const log{lines, Level::DEBUG};
	Inherited inherited{};
	std::string name{};
	std::string own_config{};
	Mapped_text given_config{};
	char const *fault = nullptr;
	Gate_end gate{loop, *this};
	Asked_calls asked{gate};
	std::list<Given_asker> given_askers{};
	Served_calls served;
	bool ready = false; // `run` was called
	bool broker_waits = false; // for our greeting
	std::function<void()> when_ready{};
	bool ended = false; // the gate is closed
	int exit_code = 0;
	Job_with_arena<1024> grace_job{loop.executor()};
	Root grace{};

	Inside(Loop &the_loop, Limits const &the_limits)
		: End_of_turn(the_loop.executor()),
		  loop(the_loop),
		  limits(the_limits),
		  served(loop, gate, limits, [this] { idle(); })
	{}

	void greeted() override;
	void connected(std::string_view ident, Exec_params call, Channel_end end) override
	{
		asked.connected(ident, call, std::move(end));
	}
	void refused(std::string_view ident) override { asked.refused(ident); }
	void called(qrexec::Command_line const &command, Exec_params call, Channel_end end) override
	{
		if (ended) return;
		served.called(command, call, std::move(end));
	}
	void gate_closed() override;
	void turn_ended() override;

	uint64_t ask(Asker &asker);
	bool open(Owned_fd socket);
	void greet();
	void idle();
	static Root stop_after(Job &job, Loop &loop, uint64_t us);
};

/* Who wants the end itself. */
class Env::Inside::Given_asker final : public Asker
{
private:
	Inside &_env;
	std::string const _target, _service;
	std::function<void(Given_end)> _done;

public:
	std::list<Given_asker>::iterator place{};

	Given_asker(Inside &env, std::string_view of, std::string_view what,
		std::function<void(Given_end)> done)
		: _env(env), _target(of), _service(what), _done(std::move(done))
	{
		target = _target;
		service = _service;
	}

	void answered(Attempt<Channel_end> end, Exec_params call) override
	{
		auto const done = std::move(_done);
		_env.given_askers.erase(place);
		done({std::move(end), call.domain, call.port});
	}
};

/* A job that waits for its channel. */
class Env::Inside::Asking_job final : public Asker
{
private:
	Inside &_env;
	uint64_t _ident;
	Event _arrived{};
	std::optional<Attempt<Channel_end>> _answer{};
	Exec_params _call{};

public:
	Asking_job(Inside &env, std::string_view of, std::string_view what) : _env(env)
	{
		target = of;
		service = what;
		_ident = env.ask(*this);
	}

	~Asking_job()
	{
		if (!_answer)
			_env.asked.forget(_ident);
		else if (_answer->ok() && _answer->value().memory)
			_env.gate.tell_end(_call); // the job was cancelled meanwhile
	}

	void answered(Attempt<Channel_end> end, Exec_params call) override
	{
		_answer.emplace(std::move(end));
		_call = call;
		_arrived.raise();
	}

	Event *waits() { return _answer ? nullptr : &_arrived; }

	Attempt<size_t> open(Loop_channel &channel)
	{
		if (!_answer->ok()) return _answer->error();
		Inside *const env = &_env;
		auto const adopted =
			channel.adopt(std::exchange(_answer->value(), {}), qrexec::Side::CALLER);
		if (adopted.ok())
			channel.when_closed([env, call = _call] { env->gate.tell_end(call); });
		else
			_env.gate.tell_end(_call);
		if (!adopted.ok()) return adopted.error();
		return size_t{0};
	}
};

uint64_t Env::Inside::ask(Asker &asker)
{
	uint64_t const ident = asked.ask(asker);
	if (!gate.opened() || !Asked_calls::possible(asker)) at_end_of_turn();
	return ident;
}

/* Nobody is answered before he has asked. */
void Env::Inside::turn_ended()
{
	asked.fail_impossible();
	if (!gate.opened()) asked.fail_all(Error::BROKEN_PIPE);
}

bool Env::Inside::open(Owned_fd socket)
{
	if (gate.open(std::move(socket)).ok()) return true;
	fault = "its gate is no socket that can be watched";
	return false;
}

void Env::Inside::greeted()
{
	broker_waits = true;
	if (ready) greet();
}

void Env::Inside::greet()
{
	broker_waits = false;
	gate.greet();
	asked.ask_all();
	if (auto const begin = std::exchange(when_ready, {})) begin();
}

void Env::Inside::gate_closed()
{
	ended = true;
	served.refuse_waiting();
	asked.fail_all(Error::BROKEN_PIPE);
	if (served.live() == 0) return loop.stop();
	grace = stop_after(grace_job, loop, limits.grace_us);
	if (!grace.start(grace_job).ok()) loop.stop();
}

void Env::Inside::idle()
{
	if (ended) loop.stop();
}

Root Env::Inside::stop_after(Job &job, Loop &loop, uint64_t us)
{
	static_cast<void>(co_await sleep_us(job, us));
	loop.stop();
}

Env::Env(Loop &loop, Limits limits) : _inside(std::make_unique<Inside>(loop, limits)) {}
Env::~Env() = default;

bool Env::start()
{
	Inside &in = *_inside;
	auto gate = Attempt<Owned_fd>(Error::NOT_FOUND);
	if (in.inherited.take()) gate = in.inherited.release("gate");
	if (!gate.ok()) {
		in.fault = "this is a component of a system: start that by `bulkhead run` (LISTEN_FDS "
				   "names no gate)";
		return false;
	}
	in.lines.never_block();
	char const *const name = getenv("BULKHEAD_DOMAIN");
	in.name = name ? name : "";
	if (auto config = in.inherited.release("config"); config.ok())
		in.given_config = Mapped_text(std::move(config.value()));
	return in.open(std::move(gate.value()));
}

bool Env::start(Owned_fd gate, std::string name, std::string config)
{
	_inside->name = std::move(name);
	_inside->own_config = std::move(config);
	return _inside->open(std::move(gate));
}

void Env::give(std::string name, Owned_fd descriptor)
{
	_inside->inherited.add(std::move(name), std::move(descriptor));
}

int Env::fail()
{
	_inside->log.error(_inside->fault ? _inside->fault : "the component has failed");
	return 1;
}

std::string_view Env::name() const { return _inside->name; }

std::string_view Env::config() const
{
	return _inside->own_config.empty() ? _inside->given_config.text()
									   : std::string_view(_inside->own_config);
}

Attempt<Owned_fd> Env::device(std::string_view name)
{
	return _inside->inherited.release("device:" + std::string(name));
}

Attempt<Owned_fd> Env::fuse_mount(unsigned index)
{
	return _inside->inherited.release("fuse:" + std::to_string(index));
}

Log Env::log() const { return _inside->log; }
Loop &Env::loop() { return _inside->loop; }

void Env::serve(std::string_view service, Service &taker) { _inside->served.add(service, taker); }

void Env::serve(std::string_view service, std::function<void(Given_call)> taker)
{
	_inside->served.add(service, std::move(taker));
}

Task<size_t> Env::call(Job &job, std::string_view target, std::string_view service,
	Loop_channel &channel, uint64_t until_us)
{
	Inside::Asking_job asking(*_inside, target, service);
	while (Event *const waits = asking.waits()) CO_TRY(co_await waits->wait(job, until_us));
	co_return asking.open(channel);
}

void Env::call(
	std::string_view target, std::string_view service, std::function<void(Given_end)> done)
{
	Inside &in = *_inside;
	auto &asker = in.given_askers.emplace_back(in, target, service, std::move(done));
	asker.place = std::prev(in.given_askers.end());
	in.ask(asker);
}

void Env::ended(uint32_t domain, uint32_t port)
{
	_inside->gate.tell_end({domain, port});
	_inside->served.given_ended(port);
}

void Env::when_ready(std::function<void()> begin) { _inside->when_ready = std::move(begin); }

int Env::run()
{
	Inside &in = *_inside;
	if (!in.gate.opened() && !in.ended) return fail();
	in.ready = true;
	if (in.broker_waits) in.greet();
	in.loop.run();
	return in.exit_code;
}

void Env::stop(int exit_code)
{
	_inside->exit_code = exit_code;
	_inside->loop.stop();
}

} // namespace bulkhead::component
