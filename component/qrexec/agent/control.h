#pragma once

// The agent's end of the control connection: a vchan server on port 512 that a daemon may leave and
// another one join, at any time.

#include "platform/linux/loop.h"
#include "rpc/qrexec/message_reader.h"
#include "sdk/libvchan/transport.h"

#include <array>
#include <memory>
#include <string>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread. */
class Control final : private linux_host::Loop::Source
{
public:
	/* What comes of it. `send` may be called from here. */
	class Events
	{
	protected:
		~Events() = default;

	public:
		/* A daemon has greeted. */
		virtual void daemon_came() = 0;

		/* It has left, or broken the protocol (`why`). It is listened for the next one. */
		virtual void daemon_left(std::string_view why) = 0;

		/* One of those that a daemon may send, but for HELLO. Valid during the call. */
		virtual void told(Message_reader::Message const &message) = 0;

		/* There can be no other daemon: `why`. Nothing comes any more. */
		virtual void broken(std::string_view why) = 0;
	};

private:
	using Opener = std::unique_ptr<sdk::Transport> (*)(std::string &why);

	linux_host::Loop &_loop;
	Events &_events;
	Opener const _open;
	std::unique_ptr<sdk::Transport> _transport{};
	std::array<uint8_t, Header::BYTES + Exec_params::BYTES + COMMAND_MAX> _buffer{};
	Message_reader _reader{_buffer, Direction::DAEMON_TO_AGENT, VERSION};
	std::string _to_send{};
	size_t _sent = 0; // of it
	uint64_t _daemon = 0;
	bool _ended = false; // the transport takes nothing any more

	void ready(uint32_t) override;
	Attempt<void> _listen(std::string &why);
	void _lost(std::string_view why);
	bool _progress();
	bool _take(std::span<uint8_t const> bytes);
	void _flush();

public:
	/* A vchan server of this domain for domain 0, by the environment. */
	static std::unique_ptr<sdk::Transport> open(std::string &why);

	Control(linux_host::Loop &loop, Events &events, Opener opener = open);
	~Control();

	/* Begins to listen. Errors: any; `why` has it in words. */
	Attempt<void> start(std::string &why);

	/* Which daemon it is, counted from 1; 0 as long as none has greeted. */
	uint64_t daemon() const { return _reader.version() ? _daemon : 0; }
	/* The version agreed upon with it; 0: none. */
	uint32_t version() const { return _reader.version(); }

	/* Sends a message to the daemon that is there, as soon as there is room. */
	void send(Bytes message);

	/* Bytes that wait for room. */
	size_t unsent() const { return _to_send.size() - _sent; }

	/* Leaves; the daemon's agent is gone then. */
	void stop();
};

} // namespace bulkhead::qrexec
