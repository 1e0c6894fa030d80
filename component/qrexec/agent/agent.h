#pragma once

// The agent: what the daemon says goes to calls and programs, and what becomes of them to the
// daemon.

#include "component/qrexec/agent/calls.h"
#include "component/qrexec/agent/control.h"
#include "component/qrexec/agent/programs.h"
#include "component/qrexec/host/unix_server.h"

#include <functional>
#include <optional>

namespace bulkhead::qrexec {

struct Agent_options
{
	std::string socket{}; // for programs
	std::string fork_servers{}; // see Fork_servers
	rlimit files{}; // of services
	std::function<void()> ready{}; // a daemon has come, for the first time
	std::function<void()> used{}; // a first call has come
};

/* Belongs to the loop's thread, the only one of its process. */
class Agent final : private Control::Events,
					private Programs::Events,
					private Calls::Events,
					private Unix_server::Accepted
{
private:
	struct Served
	{
		Exec_params call;
		uint64_t daemon;
	};

	linux_host::Loop &_loop;
	Agent_options _options;
	Calls _calls;
	Control _control;
	Programs _programs;
	std::optional<Unix_server> _server{};
	std::unordered_map<uint64_t, Served> _served{}; // by token
	uint64_t _last = 0;
	bool _broken = false;

	void daemon_came() override;
	void daemon_left(std::string_view why) override;
	void told(Message_reader::Message const &message) override;
	void broken(std::string_view why) override;
	void asked(uint64_t number) override;
	void program_ended(Exec_params call, uint64_t daemon) override;
	void call_ended(uint64_t token) override;
	void accepted(Unix_server &, linux_host::Owned_fd connection) override;

	void _serve(Message_reader::Message const &message);
	void _connect(Exec_params call, std::string_view ident);
	void _tell_end(Exec_params call, uint64_t daemon);

public:
	Agent(linux_host::Loop &loop, Serving serving, Agent_options options,
		std::unique_ptr<sdk::Transport> (*opener)(std::string &) = Control::open);

	/* Listens for a daemon and for programs. False: `why`. */
	bool start(std::string &why);

	/* No daemon and no program comes any more; calls of this process go on. */
	void stop();

	/* The loop was stopped since no daemon can come any more. */
	bool broken() const { return _broken; }

	/* Calls that this process carries itself. */
	size_t calls_here() const { return _calls.here(); }
};

} // namespace bulkhead::qrexec
