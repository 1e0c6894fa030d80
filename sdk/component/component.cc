#include "sdk/component/component.h"

#include "sdk/component/env.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <list>
#include <map>
#include <new>
#include <optional>

using namespace bulkhead;
using component::Env;
using component::Incoming_call;
using linux_host::Loop;
using qrexec::Loop_channel;

/*
 * A channel and the jobs that look at it when somebody waits: one for what comes, one for room. A
 * callback may give the channel up; it goes when both jobs have ended.
 */
struct Bulkhead_channel : protected Completion
{
private:
	enum class Wanted : uint8_t { NOTHING, DATA, CODE, ROOM };

	/* Waits for one thing after the other, and tells. */
	struct Watch
	{
		Job_with_arena<2048> job;
		Event asked{};
		Wanted wanted = Wanted::NOTHING;
		Root root{}; // first to go

		explicit Watch(Executor &executor) : job(executor) {}
	};

	Watch _data, _room;
	unsigned _running = 0;
	Bulkhead_changed *_changed = nullptr;
	void *_context = nullptr;

	static Root _run(Job &job, Bulkhead_channel &self, Watch &watch);

	void _tell()
	{
		if (_changed && !given_up) _changed(_context, this);
	}

	void completed() override
	{
		if (--_running == 0) ended();
	}

	static int _again(Watch &watch, Wanted wanted)
	{
		watch.wanted = wanted;
		watch.asked.raise();
		return -EAGAIN;
	}

	/* The error of what can't be done; 0: it can. */
	int _trouble() const
	{
		if (given_up) return -EINVAL;
		return error ? -errno_of(*error) : 0;
	}

protected:
	/* All jobs have ended, since it was given up. */
	virtual void ended() = 0;

	/* Before what they wait in goes. */
	void stop()
	{
		_data.root = Root();
		_room.root = Root();
	}

	bool start(Root &root, Job &job)
	{
		bool const started = root.start(job, this).ok();
		_running += started;
		return started;
	}

public:
	Loop_channel *channel = nullptr; // none before the broker's answer
	std::optional<Error> error{}; // that answer, if it was no
	bool given_up = false;
	int exit_code = qrexec::EXIT_TROUBLE;

	explicit Bulkhead_channel(Loop &loop) : _data(loop.executor()), _room(loop.executor()) {}
	virtual ~Bulkhead_channel() = default;

	bool begin()
	{
		for (Watch *const watch : {&_data, &_room}) {
			watch->root = _run(watch->job, *this, *watch);
			if (!start(watch->root, watch->job)) return false;
		}
		return true;
	}

	void answered()
	{
		_data.asked.raise();
		_room.asked.raise();
	}

	virtual void give_up()
	{
		given_up = true;
		_data.job.cancel();
		_room.job.cancel();
	}

	void on_change(Bulkhead_changed *changed, void *context)
	{
		_changed = changed;
		_context = context;
	}

	ssize_t read(Mutable_bytes to)
	{
		if (int const trouble = _trouble()) return trouble;
		if (!channel) return _again(_data, Wanted::DATA);
		if (to.empty()) return 0;
		auto task = channel->read(_data.job, to);
		if (!task.ready()) return _again(_data, Wanted::DATA);
		auto const n = task.take();
		return n.ok() ? static_cast<ssize_t>(n.value()) : -errno_of(n.error());
	}

	ssize_t write(Bytes from)
	{
		if (int const trouble = _trouble()) return trouble;
		if (!channel) return _again(_room, Wanted::ROOM);
		auto const room = channel->reserve(from.size());
		size_t const n = copy_bytes(room.first, from);
		size_t const taken = n + copy_bytes(room.second, from.subspan(n));
		channel->commit(taken);
		if (taken || from.empty()) return static_cast<ssize_t>(taken);
		auto task = channel->wait_for_room(_room.job, 1);
		if (!task.ready()) return _again(_room, Wanted::ROOM);
		auto const asked = task.take();
		return asked.ok() ? -EAGAIN : -errno_of(asked.error());
	}

	int finish()
	{
		if (int const trouble = _trouble()) return trouble;
		if (!channel) return _again(_room, Wanted::ROOM);
		auto task = channel->finish(_room.job);
		if (!task.ready()) return _again(_room, Wanted::ROOM);
		auto const done = task.take();
		return done.ok() ? 0 : -errno_of(done.error());
	}

	int take_exit_code(int &code)
	{
		if (int const trouble = _trouble()) return trouble;
		if (!channel) return _again(_data, Wanted::DATA);
		auto task = channel->exit_code(_data.job);
		if (!task.ready()) return _again(_data, Wanted::CODE);
		auto const said = task.take();
		if (!said.ok()) return -errno_of(said.error());
		code = said.value();
		return 0;
	}
};

Root Bulkhead_channel::_run(Job &job, Bulkhead_channel &self, Watch &watch)
{
	constexpr size_t ENOUGH = 32; // for an end, or some bytes
	while (!self.given_up) {
		if (watch.wanted == Wanted::NOTHING || (!self.channel && !self.error)) {
			static_cast<void>(co_await watch.asked.wait(job));
			continue;
		}
		// How it goes is found by who asks again.
		Wanted const wanted = self.channel ? watch.wanted : Wanted::NOTHING;
		if (wanted == Wanted::DATA) static_cast<void>(co_await self.channel->wait_for_data(job));
		if (wanted == Wanted::CODE) static_cast<void>(co_await self.channel->exit_code(job));
		if (wanted == Wanted::ROOM)
			static_cast<void>(co_await self.channel->wait_for_room(job, ENOUGH));
		watch.wanted = Wanted::NOTHING;
		self._tell();
	}
}

namespace {

/* One that somebody else has begun; lives in the job that serves it. */
class Served_channel final : public Bulkhead_channel
{
private:
	Event _done{};
	bool _ended = false;

	void ended() override
	{
		_ended = true;
		_done.raise_all();
	}

public:
	Served_channel(Loop &loop, Loop_channel &served) : Bulkhead_channel(loop) { channel = &served; }

	Task<int> until_given_up(Job &job)
	{
		while (!_ended) CO_TRY(co_await _done.wait(job));
		co_return exit_code;
	}
};

/* Calls of one service. */
class C_service final : public component::Service
{
private:
	Loop &_loop;
	Bulkhead_called *const _called;
	void *const _context;

public:
	C_service(Loop &loop, Bulkhead_called *called, void *context)
		: _loop(loop), _called(called), _context(context)
	{}

	Task<int> serve(Job &job, Incoming_call const &call) override
	{
		std::unique_ptr<Served_channel> const channel(
			new (std::nothrow) Served_channel(_loop, call.channel));
		if (!channel || !channel->begin()) co_return Failure{Error::OUT_OF_MEMORY};
		std::string const service(call.service), argument(call.argument), caller(call.caller);
		_called(_context, channel.get(), service.c_str(), argument.c_str(), caller.c_str());
		co_return co_await channel->until_given_up(job);
	}
};

class Watched final : public Loop::Source
{
public:
	Bulkhead_ready *callback = nullptr;
	void *context = nullptr;

	void ready(uint32_t events) override { callback(context, fd(), events); }
};

} // namespace

struct Bulkhead_component
{
	/* One that this component has asked for. */
	struct Made_channel;
	struct Timer;

	Loop loop{};
	Env env{loop};
	std::string name{}, config{};
	std::list<C_service> services{};
	std::map<int, Watched> watched{};
	std::list<Timer> timers{};
	std::list<Made_channel> channels{}; // first to go
};

struct Bulkhead_component::Made_channel final : Bulkhead_channel
{
	Bulkhead_component &owner;
	std::string const target, service;
	Loop_channel own;
	Job_with_arena<4096> job;
	std::list<Made_channel>::iterator place{};
	Root root{};

	Made_channel(Bulkhead_component &component, char const *of, char const *what)
		: Bulkhead_channel(component.loop),
		  owner(component),
		  target(of),
		  service(what),
		  own(component.loop),
		  job(component.loop.executor())
	{}

	~Made_channel() override
	{
		root = Root();
		stop();
	}

	static Root ask(Job &job, Made_channel &self)
	{
		auto const asked = co_await self.owner.env.call(job, self.target, self.service, self.own);
		if (asked.ok())
			self.channel = &self.own;
		else
			self.error = asked.error();
		self.answered();
	}

	bool call()
	{
		root = ask(job, *this);
		return begin() && start(root, job);
	}

	void give_up() override
	{
		job.cancel();
		Bulkhead_channel::give_up();
	}

	void ended() override { owner.channels.erase(place); }
};

struct Bulkhead_component::Timer final : Completion
{
	Bulkhead_component &owner;
	Bulkhead_timer *const callback;
	void *const context;
	Job_with_arena<512> job;
	std::list<Timer>::iterator place{};
	Root root{};

	Timer(Bulkhead_component &component, Bulkhead_timer *timer, void *what)
		: owner(component), callback(timer), context(what), job(component.loop.executor())
	{}

	static Root sleep(Job &job, uint64_t us) { static_cast<void>(co_await sleep_us(job, us)); }

	void completed() override
	{
		auto const called = callback;
		void *const with = context;
		owner.timers.erase(place);
		called(with);
	}
};

Bulkhead_component *bulkhead_component_start(void)
{
	auto *const component = new (std::nothrow) Bulkhead_component;
	if (!component) return nullptr;
	if (!component->env.start()) {
		component->env.fail();
		delete component;
		return nullptr;
	}
	component->name = component->env.name();
	component->config = component->env.config();
	return component;
}

void bulkhead_component_end(Bulkhead_component *component) { delete component; }

char const *bulkhead_component_name(Bulkhead_component const *component)
{
	return component->name.c_str();
}

char const *bulkhead_component_config(Bulkhead_component const *component, size_t *size)
{
	if (size) *size = component->config.size();
	return component->config.c_str();
}

int bulkhead_component_device(Bulkhead_component *component, char const *name)
{
	auto device = component->env.device(name);
	return device.ok() ? device.value().release() : -errno_of(device.error());
}

void bulkhead_component_log(Bulkhead_component *component, int level, char const *text)
{
	int const known = std::clamp(level, BULKHEAD_LOG_ERROR + 0, BULKHEAD_LOG_DEBUG + 0);
	component->env.log().log(static_cast<Level>(known), std::string_view(text));
}

int bulkhead_component_serve(
	Bulkhead_component *component, char const *service, Bulkhead_called *called, void *context)
{
	if (!service || !*service || !called) return -EINVAL;
	auto &taker = component->services.emplace_back(component->loop, called, context);
	component->env.serve(service, taker);
	return 0;
}

Bulkhead_channel *bulkhead_component_call(
	Bulkhead_component *component, char const *target, char const *service)
{
	auto &channel = component->channels.emplace_back(*component, target, service);
	channel.place = std::prev(component->channels.end());
	if (!channel.call()) std::abort(); // arenas that are too small: our own mistake
	return &channel;
}

int bulkhead_component_watch(
	Bulkhead_component *component, int fd, unsigned events, Bulkhead_ready *ready, void *context)
{
	if (!events) return component->watched.erase(fd) ? 0 : -EINVAL;
	if (!ready) return -EINVAL;
	auto const [place, added] = component->watched.try_emplace(fd);
	Watched &watched = place->second;
	watched.callback = ready;
	watched.context = context;
	auto const done =
		added ? component->loop.add(watched, fd, events) : component->loop.change(watched, events);
	if (!done.ok()) component->watched.erase(fd);
	return done.ok() ? 0 : -EINVAL;
}

int bulkhead_component_after(
	Bulkhead_component *component, uint64_t delay_us, Bulkhead_timer *timer, void *context)
{
	auto &made = component->timers.emplace_back(*component, timer, context);
	made.place = std::prev(component->timers.end());
	made.root = Bulkhead_component::Timer::sleep(made.job, delay_us);
	if (made.root.start(made.job, &made).ok()) return 0;
	component->timers.erase(made.place);
	return -ENOMEM;
}

int bulkhead_component_run(Bulkhead_component *component) { return component->env.run(); }

void bulkhead_component_stop(Bulkhead_component *component, int exit_code)
{
	component->env.stop(exit_code);
}

void bulkhead_channel_on_change(Bulkhead_channel *channel, Bulkhead_changed *changed, void *context)
{
	channel->on_change(changed, context);
}

ssize_t bulkhead_channel_read(Bulkhead_channel *channel, void *to, size_t size)
{
	return channel->read({static_cast<uint8_t *>(to), size});
}

ssize_t bulkhead_channel_write(Bulkhead_channel *channel, void const *from, size_t size)
{
	return channel->write({static_cast<uint8_t const *>(from), size});
}

int bulkhead_channel_finish(Bulkhead_channel *channel) { return channel->finish(); }

int bulkhead_channel_exit_code(Bulkhead_channel *channel, int *code)
{
	return channel->take_exit_code(*code);
}

void bulkhead_channel_complain(Bulkhead_channel *channel, char const *text)
{
	if (channel->channel && !channel->given_up) channel->channel->complain(text);
}

void bulkhead_channel_exit(Bulkhead_channel *channel, int code)
{
	channel->exit_code = code;
	channel->give_up();
}

void bulkhead_channel_close(Bulkhead_channel *channel) { channel->give_up(); }
