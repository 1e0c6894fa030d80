#pragma once

// A call that a domain asks for, from its agent's question to the answer.

#include "component/qrexec/daemon/policy_desk.h"
#include "component/qrexec/daemon/port_book.h"
#include "component/qrexec/daemon/starter.h"
#include "component/qrexec/daemon/visit.h"
#include "sdk/qrexec/link.h"

#include <array>

namespace bulkhead::qrexec {

using Ident_bytes = std::array<uint8_t, IDENT_BYTES>; // as they came

class Requested_call final : private Policy_inquiry::Asker,
							 private Starter::Waiter,
							 private Waits_for_room,
							 private linux_host::Loop::Source
{
public:
	/* What a call asks of its daemon. */
	class Host
	{
	protected:
		~Host() = default;

	public:
		virtual Settings const &settings() const = 0;
		virtual Port_book &ports() = 0;
		virtual void when_room(Waits_for_room &) = 0;
		virtual void no_longer(Waits_for_room &) = 0;
		virtual void send_to_agent(Type type, Exec_params params, Bytes text) = 0;
		/* SERVICE_CONNECT and SERVICE_REFUSED. */
		virtual void accept(Ident_bytes const &ident, Exec_params where) = 0;
		virtual void refuse(Ident_bytes const &ident) = 0;
		/* A process that runs a service of the host. False: there are too many. */
		virtual bool run_on_host(
			Exec_params caller, std::string const &name, std::string const &command) = 0;
		/* The call needs its daemon no more; it is destroyed later. */
		virtual void over(Requested_call &) = 0;
	};

	/* The call's place in its host's list. */
	std::list<std::unique_ptr<Requested_call>>::iterator place{};

private:
	linux_host::Loop &_loop;
	Host &_host;
	Ident_bytes const _ident;
	Policy_request const _request;
	Policy_inquiry _question;

	bool _answered = false; // the agent
	bool _over = false;
	bool _waits = false; // for room
	bool _autostart = false;
	std::string _target{}; // as the policy says; name or uuid
	std::string _by_name{}; // where the target has a uuid, and a daemon that may not know it
	std::string _command{};
	qrexec::Link _link{};
	Starter _starter;

	void policy_says(Policy_answer const &answer) override;
	void domain_started(std::optional<Exec_params> answer) override;
	size_t bytes() const override;
	void go_on() override;
	void ready(uint32_t events) override;

	std::string _service(Policy_answer const &answer) const;
	std::string_view _source(Policy_answer const &answer) const;
	void _call_host(Policy_answer const &answer);
	void _call_domain(Policy_answer const &answer);
	bool _own_domain(Policy_answer const &answer) const;
	void _call_self(std::string_view user);
	void _ask_daemon(std::string const &target);
	void _look_at_link();
	void _link_failed(Link_error error);
	void _start_domain();
	void _accept(Exec_params where);
	void _refuse(std::string_view why);
	void _end();

public:
	Requested_call(linux_host::Loop &loop, Host &host, Policy_desk &desk, Ident_bytes const &ident,
		Policy_request request)
		: _loop(loop),
		  _host(host),
		  _ident(ident),
		  _request(std::move(request)),
		  _question(desk, _request, *this),
		  _starter(loop, *this)
	{}
	~Requested_call();

	void start() { _question.ask(); }

	/* Nobody wants its answer any more. */
	void leave() { _end(); }

	/* Of the service that it asks for. */
	size_t name_bytes() const { return _request.service.size(); }

	/* Whether a client may answer it in our place, which it has now. */
	bool take_over(std::string_view ident);
};

} // namespace bulkhead::qrexec
