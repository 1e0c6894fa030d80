#pragma once

// A domain's end of its gate: the messages of domain/gate to and from a broker, in a Loop.

#include "platform/linux/gate.h"
#include "platform/linux/loop.h"
#include "platform/linux/vchan/channel.h"
#include "rpc/qrexec/command_line.h"
#include "rpc/qrexec/message.h"

#include <deque>
#include <string_view>
#include <vector>

namespace bulkhead::component {

/* What a broker says. Views last as long as the call. */
class From_broker
{
protected:
	~From_broker() = default;

public:
	/* A broker has begun: it is to be greeted when all is ready, and knows nothing we asked. */
	virtual void greeted() = 0;
	virtual void connected(
		std::string_view ident, qrexec::Exec_params, linux_host::Channel_end end) = 0;
	virtual void refused(std::string_view ident) = 0;
	virtual void called(
		qrexec::Command_line const &, qrexec::Exec_params, linux_host::Channel_end end) = 0;
	/* Nothing comes any more. */
	virtual void gate_closed() = 0;
};

/* Belongs to the loop's thread. */
class Gate_end final : private linux_host::Loop::Source
{
private:
	linux_host::Loop &_watcher;
	From_broker &_taker;
	linux_host::Gate _gate{};
	std::deque<std::vector<uint8_t>> _unsent{}; // what found no room

	void ready(uint32_t events) override;
	bool _receive();
	void _handle(Bytes message, std::span<linux_host::Owned_fd> descriptors);
	bool _try_send(Bytes message);
	void _send(Bytes message);
	void _send_unsent();
	void _close();

public:
	/* Both outlive it. */
	Gate_end(linux_host::Loop &loop, From_broker &taker) : _watcher(loop), _taker(taker) {}

	/* Errors: those of `Loop::add`. */
	Attempt<void> open(linux_host::Owned_fd socket);
	bool opened() const { return _gate.fd() >= 0; }

	/* How many messages may be there at once; fewer than two save a look. */
	bool many = false;

	/* Never wait; what finds no room now is sent later. */
	void greet();
	/* False: a name is too long, or none. */
	bool ask(std::string_view ident, std::string_view target, std::string_view service);
	void tell_end(qrexec::Exec_params call);
};

} // namespace bulkhead::component
