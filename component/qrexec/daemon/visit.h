#pragma once

// A program of the host that has come to a daemon's socket: greets, says one thing, and stays until
// its call is over.

#include "component/qrexec/daemon/port_book.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"
#include "rpc/qrexec/message_reader.h"

#include <list>

namespace bulkhead::qrexec {

/* Who has a message for the agent, and waits until there is room for it. */
class Waits_for_room
{
protected:
	~Waits_for_room() = default;

public:
	/* Of the message, with its header. */
	virtual size_t bytes() const = 0;
	/* There is room. */
	virtual void go_on() = 0;
};

class Visit final : private linux_host::Loop::Source,
					private Port_book::Waiter,
					private Waits_for_room
{
public:
	/* What a visit asks of its daemon. */
	class Host
	{
	protected:
		~Host() = default;

	public:
		virtual Port_book &ports() = 0;
		/* Now if there is room, later otherwise. */
		virtual void when_room(Waits_for_room &) = 0;
		virtual void no_longer(Waits_for_room &) = 0;
		virtual void send_to_agent(Type type, Exec_params params, Bytes text) = 0;
		/* The agent will read all that was sent so far, even if the daemon dies now: told later. */
		virtual void when_taken(Visit &) = 0;
		virtual void no_longer_when_taken(Visit &) = 0;
		virtual uint32_t domain() const = 0;
		virtual std::string const &default_user() const = 0;
		/* Whether a request with this ident waits for an answer; it has one now. */
		virtual bool answered_by_client(std::string_view ident) = 0;
		/* The visit is over; it is destroyed later. */
		virtual void leave(Visit &) = 0;
	};

	/* The visit's place in its host's list. */
	std::list<std::unique_ptr<Visit>>::iterator place{};

private:
	enum class State : uint8_t { GREETING, WAITING, TELLING, RUNNING, OVER };

	// As much as the agent can be sent.
	struct Inbox
	{
		uint8_t buffer[CONTROL_RING_BYTES];
		Message_reader reader{buffer, Direction::CLIENT_TO_DAEMON, LOCAL_VERSION};
	};

	linux_host::Loop &_loop;
	Host &_host;
	linux_host::Owned_fd _socket;
	State _state = State::GREETING;
	std::unique_ptr<Inbox> _inbox = std::make_unique<Inbox>();
	Type _type{};
	Exec_params _params{};
	std::string _text{}; // command line or ident, with all that comes behind it
	std::string _unsent{}; // the greeting
	std::optional<Port_table::Lease> _lease{};

	void ready(uint32_t events) override;
	void connection_ended() override { leave(); }
	size_t bytes() const override;
	void go_on() override;

	void _greet();
	bool _send(Bytes bytes);
	void _take(Bytes bytes);
	void _take(Message_reader::Message const &message);
	void _take_request();
	void _replace_default_user();
	bool _take_port();
	bool _answer();
	void _complain(std::string_view what);

public:
	Visit(linux_host::Loop &loop, Host &host, linux_host::Owned_fd socket)
		: _loop(loop), _host(host), _socket(std::move(socket))
	{}
	~Visit();

	/* Begins. False: it can't be watched. */
	bool start();

	/* The agent has been told of the call. */
	void taken();

	/* Ends it; the program sees the end of its connection. */
	void leave();
};

} // namespace bulkhead::qrexec
