#pragma once

// The programs of this domain that ask the agent for a call, on its unix socket: one question each,
// one answer, and then the connection until the call has ended.

#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"
#include "platform/linux/vchan/channel.h"
#include "rpc/qrexec/message_reader.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <unordered_map>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread. */
class Programs final
{
public:
	static constexpr size_t PROGRAMS_MAX = 16384; // at once

	class Events
	{
	protected:
		~Events() = default;

	public:
		/* A program asks; `number` is the request's for as long as the agent runs. */
		virtual void asked(uint64_t number) = 0;

		/* A program whose request was accepted has ended its call. */
		virtual void program_ended(Exec_params call, uint64_t daemon) = 0;
	};

private:
	class Program final : private linux_host::Loop::Source
	{
	public:
		enum class State : uint8_t {
			READING, // its question
			ASKING, // waits for the daemon's answer
			CALLING,
			REFUSED, // may still be sending
		};

	private:
		struct Reading
		{
			std::array<uint8_t, CONTROL_RING_BYTES> buffer;
			Message_reader reader{buffer, Direction::PROGRAM_TO_AGENT, VERSION};
		};

		Programs &_programs;
		uint64_t const _number;
		linux_host::Owned_fd _socket;
		uid_t const _user;
		State _state = State::READING;
		std::unique_ptr<Reading> _reading{};
		Type _type = Type::TRIGGER_SERVICE4;
		std::string _body{};
		Exec_params _call{};
		uint64_t _daemon = 0;
		size_t _dropped = 0;

		void ready(uint32_t events) override;
		void _read();
		bool _take(Bytes bytes);
		void _drop();

	public:
		Program(Programs &programs, uint64_t number, linux_host::Owned_fd socket, uid_t user);
		~Program();

		Attempt<void> watch();
		State state() const { return _state; }
		uint64_t number() const { return _number; }
		uid_t user() const { return _user; }
		Exec_params call() const { return _call; }
		uint64_t daemon() const { return _daemon; }
		Trigger question() const;
		bool accept(Exec_params call, uint64_t daemon, linux_host::Channel_end const *end);
		/* Ends the answer, as none follows; the program may go on sending for a while. */
		void refuse();
	};

	linux_host::Loop &_loop;
	Events &_events;
	size_t const _most;
	uint64_t _last = 0;
	std::unordered_map<uid_t, size_t> _of_user{}; // how many
	std::map<uint64_t, std::unique_ptr<Program>> _programs{}; // by number

	Program *_asking(std::string_view ident);
	void _remove(Program &program);
	bool _room_for(uid_t user);
	bool _remove_idle(std::optional<uid_t> user);

public:
	/* `most`: at once; other users than this process's have three quarters of it each. */
	Programs(linux_host::Loop &loop, Events &events, size_t most = PROGRAMS_MAX)
		: _loop(loop), _events(events), _most(most)
	{}

	/* Of an accepted connection. Without an answer if there are too many. */
	void add(linux_host::Owned_fd socket);

	/* What a request that waits for an answer wants, with its ident; nothing if it is gone. */
	struct Question
	{
		Trigger trigger;
		Ident ident;
	};
	std::optional<Question> question(uint64_t number) const;

	/* Asks once more for all that have no answer, in their order. */
	void ask_again();

	/*
	 * Hands the answer to a request, with the end of the channel where a broker has made it. False
	 * if nobody waits for it (any more), or it can't be told.
	 */
	bool accept(std::string_view ident, Exec_params call, uint64_t daemon,
		linux_host::Channel_end const *end = nullptr);
	bool refuse(std::string_view ident);
	void refuse(uint64_t number);

	/* Leaves all of them: who has no answer gets none. */
	void leave() { _programs.clear(); }

	size_t size() const { return _programs.size(); }

	/* Requests are named `SOCKET` and a number. */
	static Ident ident_of(uint64_t number);
	static std::optional<uint64_t> number_of(std::string_view ident);
};

} // namespace bulkhead::qrexec
