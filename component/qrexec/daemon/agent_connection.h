#pragma once

// The control connection to a domain's agent: finds it, greets it, cuts what it says into messages
// and keeps what it is to be told until there is room in its ring, which is small. Nothing blocks.

#include "platform/linux/loop.h"
#include "rpc/qrexec/message_reader.h"
#include "sdk/libvchan/transport.h"

#include <initializer_list>
#include <string>
#include <vector>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread. */
class Agent_connection final : private linux_host::Loop::Source, private linux_host::Loop::Remote
{
public:
	enum class Loss : uint8_t {
		GONE, // the agent has ended; another one may come
		NO_DOMAIN, // the domain is dead, or can't be looked for
		MISBEHAVED, // it has broken the protocol
		OLD_VERSION,
	};

	/* None of these may destroy the connection; each may call anything of it. */
	class Handler
	{
	protected:
		~Handler() = default;

	public:
		/* It is there, and of a version that will do. */
		virtual void agent_came(uint32_t version) = 0;
		/* A message that an agent may send. `body`: until the return. */
		virtual void agent_said(Type type, Bytes body) = 0;
		/* The queue has become shorter. */
		virtual void agent_took() = 0;
		/* The last that is heard, until it is started again. */
		virtual void agent_lost(Loss loss, std::string const &why) = 0;
	};

	/*
	 * What may be queued: what clients want to send waits with them when there are more bytes than
	 * the first; answers to the agent itself are bounded by the second, which no agent reaches that
	 * reads what it asks for.
	 */
	static constexpr size_t QUEUE_FOR_CLIENTS = 4 * CONTROL_RING_BYTES;
	static constexpr size_t QUEUE_MAX = 1024 * 1024;

private:
	static constexpr size_t READ_BYTES = 8192; // at once
	static constexpr unsigned READS_MAX = 16; // before others have their turn

	linux_host::Loop &_loop;
	Handler &_handler;
	std::unique_ptr<sdk::Transport> _transport{};
	std::vector<uint8_t> _buffer;
	Message_reader _reader;
	bool _present = false; // somebody is at the other end
	bool _greeted = false;
	bool _lost = true;
	bool _overflowed = false;
	unsigned _generation = 0; // counts connections

	std::vector<uint8_t> _queue{};
	size_t _sent = 0; // of it
	uint64_t _taken = 0; // bytes, by this agent

	void ready(uint32_t events) override;
	void posted() override;
	void _work();
	bool _read();
	void _feed(Bytes bytes);
	void _flush();
	void _lose(Loss loss, std::string const &why);
	void _append(Type type, std::initializer_list<Bytes> parts);

public:
	Agent_connection(linux_host::Loop &loop, Handler &handler);

	/*
	 * Looks for the agent of a domain, from now on. False: it can't be looked for, and `why`.
	 * Ends what there was before.
	 */
	bool start(uint32_t domain, std::string &why);

	/* Closes; nothing is told. What was sent can still be read. */
	void close();

	/* Whether there is an agent that was greeted. */
	bool present() const { return !_lost && _greeted; }

	/* Whether a message of a client (so many bytes with its header) may be queued now. */
	bool room_for(size_t bytes) const;

	/* Queues a message. Ignored without an agent. */
	void send(Type type, std::initializer_list<Bytes> parts);

	size_t queued() const { return _queue.size() - _sent; }

	/* Bytes that this agent's ring has taken, and what that will be with all that is queued. */
	uint64_t taken() const { return _taken; }
	uint64_t taken_with_queued() const { return _taken + queued(); }
};

} // namespace bulkhead::qrexec
