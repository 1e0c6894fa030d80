#pragma once

// The connection to a broker: what the operator asks of it, and the calls that he makes
// (domain/gate/message.h).

#include "base/attempt.h"
#include "domain/gate/message.h"
#include "platform/linux/gate.h"
#include "platform/linux/vchan/channel.h"
#include "tool/outcome.h"

#include <string>
#include <string_view>

namespace bulkhead::tool {

/* Moves. Belongs to one thread. */
class Control
{
public:
	/* What a call has come to. */
	struct Call
	{
		enum class State : uint8_t { ASKED, REFUSED, CONNECTED };

		State state = State::ASKED;
		linux_host::Channel_end end{};
		qrexec::Exec_params params{}; // to be given back to `ended`
	};

private:
	struct Packet;

	std::string _system{};
	linux_host::Gate _gate{};

	Control(std::string system, linux_host::Gate gate)
		: _system(std::move(system)), _gate(std::move(gate))
	{}

	Trouble _gone() const;
	Or_trouble<Ok> _send(uint32_t type, std::initializer_list<Bytes> body);
	Or_trouble<bool> _receive(Packet &packet);
	Or_trouble<Ok> _wait(Packet &packet, int timeout_ms);
	Or_trouble<Ok> _greet();
	Or_trouble<Call> _answer_of(Packet &packet) const;

public:
	/* Finds the system, connects and greets: blocks for seconds at most. */
	static Or_trouble<Control> open(std::string const &name);

	std::string const &system() const { return _system; }

	/* Readable when `look` has something to do. */
	int fd() const { return _gate.fd(); }

	/*
	 * Asks, and blocks until that is done; the text of the answer. What couldn't be done is a
	 * trouble in the broker's words. Not while a call is being asked for.
	 */
	Or_trouble<std::string> ask(domain::Admin what, std::string_view about = {});

	/* The JSON of domain::Admin::STATUS. */
	Or_trouble<std::string> status();

	/* Asks for a call, one at a time; `look` says what becomes of it, `wait` blocks for it. */
	Or_trouble<Ok> call(std::string_view target, std::string_view service);
	Or_trouble<Call> look();
	Or_trouble<Call> wait();

	/* Tells that a call is over. */
	void ended(qrexec::Exec_params params);
};

} // namespace bulkhead::tool
