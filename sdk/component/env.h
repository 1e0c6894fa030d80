#pragma once

// What a component is given: its gate to the broker, its arguments, its devices, time and a log;
// nothing else. A component is a static program that does all it does in one Loop.
//
//	int main()
//	{
//		Loop loop;
//		Env env(loop);
//		if (!env.start()) return env.fail();
//		Echo echo; // a Service
//		env.serve("example.Echo", echo);
//		return env.run(); // until the broker closes the gate
//	}

#include "base/log.h"
#include "platform/linux/gate.h"
#include "platform/linux/loop.h"
#include "sdk/qrexec/loop_channel.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bulkhead::component {

/* A call that somebody makes to this component. */
struct Incoming_call
{
	std::string_view service{}; // without the argument
	std::string_view argument{}; // behind '+'; empty if there was none
	std::string_view caller{}; // the domain, by the broker's word
	qrexec::Loop_channel &channel; // as long as the task runs
};

/* Takes the calls of a service, each in a job of its own. */
class Service
{
protected:
	~Service() = default;

public:
	/*
	 * The call is over when the task has ended; its result is the exit code, which the caller gets.
	 * Error: the caller gets EXIT_TROUBLE. The only call there is looks for long before it sleeps
	 * (`job.spin`), one of many doesn't; a service may choose otherwise.
	 */
	virtual Task<int> serve(Job &job, Incoming_call const &call) = 0;
};

/*
 * Belongs to the loop's thread. Jobs that wait in it and channels that it has opened end before it.
 *
 * Makes no descriptors, threads or signal handlers, opens no file: with the system calls of "@talk"
 * all of this works.
 */
class Env
{
public:
	struct Limits
	{
		size_t calls = 256; // served at a time
		size_t of_a_caller = 64; // of those, so that none keeps others from being served
		size_t waiting = 64; // more that wait, a quarter of them of a caller; others are ended
		size_t frame_bytes = 16 * 1024; // of the job of each
		uint64_t grace_us = 250'000; // see `run`
	};

private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	explicit Env(linux_host::Loop &loop) : Env(loop, Limits()) {}
	Env(linux_host::Loop &loop, Limits limits);
	~Env();
	Env(Env const &) = delete;
	Env &operator=(Env const &) = delete;

	/*
	 * Takes over the descriptors of LISTEN_FDS, those of the gate and "config" above all. Has the
	 * log never block: lines that don't fit are lost, and counted.
	 */
	bool start();

	/* The same with what somebody else has at hand, for tests. */
	bool start(linux_host::Owned_fd gate, std::string name, std::string config = {});
	/* A descriptor as by LISTEN_FDS: "device:NAME", "fuse:0". */
	void give(std::string name, linux_host::Owned_fd descriptor);

	/* Says on the log why `start` or `run` has failed; returns an exit code. */
	int fail();

	/* Of this domain, as the broker has it. */
	std::string_view name() const;

	/* The text that the manifest gives this component. */
	std::string_view config() const;

	/* A device of the manifest by its name there: the descriptor, once. NOT_FOUND. */
	Attempt<linux_host::Owned_fd> device(std::string_view name);
	/* Descriptors for FUSE, by the order of the manifest. NOT_FOUND. */
	Attempt<linux_host::Owned_fd> fuse_mount(unsigned index);

	/* Lines on the domain's log. */
	Log log() const;
	linux_host::Loop &loop();

	/*
	 * Before `run`. The service outlives this. "*" stands for all that nobody else serves. Who
	 * calls what nobody serves has EXIT_NO_SERVICE.
	 */
	void serve(std::string_view service, Service &taker);

	/* The same for who passes the end on to another process, and calls `ended` once, later. */
	struct Given_call
	{
		std::string full_name{}; // service+argument as the caller has asked
		std::string caller{};
		linux_host::Channel_end end{};
		uint32_t domain = 0;
		uint32_t port = 0;
	};
	void serve(std::string_view service, std::function<void(Given_call)> taker);

	/*
	 * Asks for a call, and waits until the broker has opened its channel, not until the service has
	 * greeted: what is written to it goes along with our greeting. Before `run` it waits for that,
	 * too. Errors: DENIED (refused), INVALID (names that can't be), BROKEN_PIPE (no broker any
	 * more), those of `Loop_channel::adopt`, CANCELLED, TIMEOUT, OUT_OF_FRAMES. The channel is the
	 * caller's; both names stay until the task ends.
	 */
	Task<size_t> call(Job &job, std::string_view target, std::string_view service,
		qrexec::Loop_channel &channel, uint64_t until_us = NEVER_US);

	/* The same for who passes the end on to another process: `done` is called once, later. */
	struct Given_end
	{
		Attempt<linux_host::Channel_end> end;
		uint32_t domain = 0;
		uint32_t port = 0;
	};
	void call(
		std::string_view target, std::string_view service, std::function<void(Given_end)> done);
	/* Tells the broker that a call of either kind is over whose end was passed on. */
	void ended(uint32_t domain, uint32_t port);

	/* Has `run` call this once the broker knows that we are ready: an exit code counts from then
	 * on. */
	void when_ready(std::function<void()> begin);

	/*
	 * Tells the broker that services are ready, and runs the loop; the exit code. Returns after
	 * `stop`, or when the broker has closed the gate: what is being served then may go on for
	 * `grace_us`, and nothing more is asked for or taken.
	 */
	int run();
	/* Has `run` return. */
	void stop(int exit_code = 0);
};

} // namespace bulkhead::component
