#pragma once

// The daemon of one domain: brings together the domain's agent, the host's programs that have come
// to the socket, and the calls that the domain asks for.

#include "component/qrexec/daemon/agent_connection.h"
#include "component/qrexec/daemon/public_socket.h"
#include "component/qrexec/daemon/requested_call.h"
#include "component/qrexec/host/rate_limit.h"
#include "platform/linux/signals.h"

#include <deque>
#include <functional>

namespace bulkhead::qrexec {

class Daemon final : private linux_host::Signals,
					 private linux_host::Loop::Remote,
					 private Agent_connection::Handler,
					 private Public_socket::Visitors,
					 private Visit::Host,
					 private Requested_call::Host
{
public:
	/* Exit codes, as upstream. */
	enum Exit : int { DONE = 0, FAILED = 1, NO_AGENT = 3 };

	/* What the domain asks for at once, before more is refused. */
	static constexpr size_t REQUESTS_MAX = 4096;
	/* The names of services in these: a domain mustn't fill the host's memory with long ones. */
	static constexpr size_t REQUESTED_BYTES_MAX = 1024 * 1024;
	/* Services of the host, a process each. */
	static constexpr size_t HOST_SERVICES_MAX = 1024;
	/* Programs of the host that are connected. */
	static constexpr size_t VISITS_MAX = 2 * Port_table::MOST;

private:
	class Timer;

	Settings const &_settings;
	std::function<void(Exit)> _tell; // that it is ready, or never will be
	linux_host::Loop _loop{};
	Agent_connection _agent{_loop, *this};
	Public_socket _public{_loop, _settings, *this};
	Policy_desk _policy{_loop, _settings};
	Port_book _ports;
	std::list<std::unique_ptr<Visit>> _visits{};
	std::list<std::unique_ptr<Requested_call>> _calls{};
	size_t _requested_bytes = 0; // of the calls
	std::deque<Waits_for_room *> _waiting{};
	struct Told
	{
		uint64_t when; // the agent has taken so many bytes
		Visit *visit;
	};
	std::deque<Told> _told{}; // in the order of the agent's queue
	std::list<std::unique_ptr<Visit>> _left{}; // destroyed when nobody is in them
	std::list<std::unique_ptr<Requested_call>> _over{};
	std::unordered_map<pid_t, bool> _host_services{};
	std::unique_ptr<Timer> _timer; // ends the wait for an agent that doesn't come
	std::unique_ptr<Timer> _pause; // before the next one is looked for
	Rate_limit _losses; // of agents that go as soon as they have come
	Exit _exit_code = DONE;

	// Signals
	void signalled(int number) override;
	// Remote: what is over can go
	void posted() override;
	// Agent_connection::Handler
	void agent_came(uint32_t version) override;
	void agent_said(Type type, Bytes body) override;
	void agent_took() override;
	void agent_lost(Agent_connection::Loss loss, std::string const &why) override;
	// Public_socket::Visitors
	void client_came(linux_host::Owned_fd socket) override;
	// Visit::Host and Requested_call::Host
	Settings const &settings() const override { return _settings; }
	Port_book &ports() override { return _ports; }
	void when_room(Waits_for_room &) override;
	void no_longer(Waits_for_room &) override;
	void send_to_agent(Type type, Exec_params params, Bytes text) override;
	void when_taken(Visit &visit) override;
	void no_longer_when_taken(Visit &visit) override;
	uint32_t domain() const override { return _settings.domain; }
	std::string const &default_user() const override { return _settings.default_user; }
	bool answered_by_client(std::string_view ident) override;
	void leave(Visit &visit) override;
	void accept(Ident_bytes const &ident, Exec_params where) override;
	void refuse(Ident_bytes const &ident) override;
	bool run_on_host(
		Exec_params caller, std::string const &name, std::string const &command) override;
	void over(Requested_call &call) override;

	void _requested(Type type, Bytes body);
	void _reap();
	void _let_go_of_all();
	void _fail(Exit exit);
	void _give_up();
	void _find_agent();

public:
	/* `tell` is called once, with DONE as soon as clients are served, or else with why not. */
	Daemon(Settings const &settings, std::function<void(Exit)> tell);
	~Daemon();

	/* Until SIGTERM, SIGINT or SIGHUP, or an end that can't be helped. */
	Exit run();
};

} // namespace bulkhead::qrexec
