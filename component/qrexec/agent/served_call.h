#pragma once

// A call in the process that serves it: the data connection, the service, and the relay between
// them.

#include "component/qrexec/agent/deadlines.h"
#include "component/qrexec/agent/service_request.h"
#include "component/qrexec/host/relay.h"

namespace bulkhead::qrexec {

/* How services are found and run. */
struct Serving
{
	Places places{};
	bool with_user = true; // command lines begin with one
	Log_in *log_in = nullptr; // starts a program as its user; null: as this process
	std::string shell = "/bin/sh"; // of commands, without `log_in`
};

/* Belongs to the loop's thread. */
class Served_call final : private linux_host::Loop::Source,
						  private Deadline,
						  private Relay::Finished
{
public:
	/* How long a call's service waits for its caller to listen. */
	static constexpr uint64_t CALLER_WITHIN_US = 120'000'000;

	class Ended
	{
	protected:
		~Ended() = default;

	public:
		/* Its service runs as a process, which the call waits for. */
		virtual void started(Served_call &, pid_t) {}
		/* The process has ended and was waited for. */
		virtual void reaped(Served_call &, pid_t) {}

		/* The call may be destroyed here. */
		virtual void ended(Served_call &call) = 0;
	};

private:
	linux_host::Loop &_loop;
	Serving const &_serving;
	Deadlines &_deadlines;
	std::unique_ptr<Service_request> _request;
	Ended &_ended;
	std::unique_ptr<Data_channel> _channel{};
	std::optional<Relay> _relay{};
	std::optional<int> _failed_with{}; // exit code, instead of a service
	uint8_t _answered = 0; // messages that tell of it
	pid_t _left = -1;

	void ready(uint32_t) override;
	void expired() override;
	void reaped(pid_t) override;
	void finished(Relay &, Ending const &) override;
	void _over(std::string_view why);
	void _connected();
	std::variant<Local_end, Service_failure> _start_service(Relay_options &);
	void _relay_to(Local_end local, Relay_options const &options);
	void _fail(Service_failure const &failure);
	void _answer();
	bool _send_next();

public:
	/*
	 * `resolve` of the request was called. Whoever asked for the call has as much time to listen
	 * as `deadlines` give.
	 */
	Served_call(linux_host::Loop &loop, Serving const &serving, Deadlines &deadlines,
		std::unique_ptr<Service_request> request, Ended &ended);
	~Served_call();

	/* Looks for the caller. The end may come from in here. */
	void start();

	/* The same where somebody has brought the two together; the channel is a SERVICE's. */
	void start(std::unique_ptr<Data_channel> channel);

	/* The service wants to write to its standard input: SIGUSR1. */
	void use_stdin_for_output();

	/* Whether its caller has come. */
	bool met() const { return _relay || _failed_with; }

	Service_request const &request() const { return *_request; }

	/*
	 * Once it has ended without a service: the connection, on which everything is sent, but whose
	 * caller may not have looked yet. Null otherwise.
	 */
	std::unique_ptr<Data_channel> take_channel() { return std::move(_channel); }

	/* JUST_EXEC: the process, for whose end nobody waits; -1 if there is none. */
	pid_t left_behind() const { return _left; }
};

} // namespace bulkhead::qrexec
