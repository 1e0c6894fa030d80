#pragma once

// Asks whether a call may be: the policy daemon on its socket or, where nobody listens, the policy
// program. Any number of questions at once; nothing blocks. Trouble means no.

#include "component/qrexec/daemon/settings.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"
#include "rpc/qrexec/policy_query.h"

#include <list>
#include <unordered_map>

namespace bulkhead::qrexec {

struct Policy_request
{
	std::string source{};
	std::string requested_source{}; // a RemoteVM that it relays for, or empty
	std::string target{};
	std::string service{}; // with its argument
};

class Policy_inquiry;

/* Belongs to the loop's thread; outlives its questions. */
class Policy_desk final : private linux_host::Loop::Source
{
public:
	/* At once; more wait. A question that a person is asked takes a place for that long. */
	static constexpr size_t CONNECTIONS_MAX = 2048;
	static constexpr size_t PROGRAMS_MAX = 64;

private:
	friend class Policy_inquiry;

	linux_host::Loop &_loop;
	Settings const &_settings;
	linux_host::Owned_fd _timer{};
	std::list<Policy_inquiry *> _for_connection{};
	std::list<Policy_inquiry *> _for_program{};
	std::unordered_map<pid_t, Policy_inquiry *> _programs{}; // null: nobody waits for it
	size_t _connections = 0;

	void ready(uint32_t events) override;
	void _pause();
	void _next_connection();
	void _next_program();

public:
	Policy_desk(linux_host::Loop &loop, Settings const &settings) : _loop(loop), _settings(settings)
	{}

	/* A child of this process has ended. */
	void child_ended(pid_t process, int status);
};

/* One question. Withdrawn by its end. */
class Policy_inquiry final : private linux_host::Loop::Source
{
public:
	class Asker
	{
	protected:
		~Asker() = default;

	public:
		/* Once, perhaps from within `ask`. Views until the return. May not destroy the question. */
		virtual void policy_says(Policy_answer const &answer) = 0;
	};

private:
	friend class Policy_desk;

	enum class State : uint8_t { WAITING, SOCKET, PROGRAM, ANSWERED };

	Policy_desk &_desk;
	Policy_request const _request;
	Asker &_asker;
	State _state = State::WAITING;
	std::list<Policy_inquiry *> *_queue = nullptr; // that it waits in
	linux_host::Owned_fd _fd{}; // socket, or output of the program
	bool _counted = false; // among the connections
	std::string _to_send{};
	std::string _received{};
	pid_t _process = -1; // the program

	void ready(uint32_t events) override;
	bool _connect();
	bool _begin_question();
	void _close();
	void _wait_in(std::list<Policy_inquiry *> &queue, bool first = false);
	void _leave_queue();
	bool _send();
	void _receive();
	void _socket_ended();
	void _wants_program(std::string_view why);
	void _use_program();
	bool _start_program(int output);
	void _program_ended(int status);
	void _refuse(std::string_view why);
	bool _take_answer(std::string_view from);

public:
	Policy_inquiry(Policy_desk &desk, Policy_request request, Asker &asker)
		: _desk(desk), _request(std::move(request)), _asker(asker)
	{}
	~Policy_inquiry();

	/* Asks, once. */
	void ask();
};

} // namespace bulkhead::qrexec
