#pragma once

// The whole logic of a broker: which domains run, and who may call whom. Knows no operating system:
// its host (host.h) tells it what has happened, and does what it decides.
//
//	Broker broker(host, random_port, now_us());
//	broker.apply(plan, evaluator);
//	broker.adopt(broker.id_of("vault"));   // for each that a broker before has left running
//	for (;;) {
//		broker.tick(now_us());               // first of all, and once before what one wait brought
//		… received, closed, ended, connected; of each gate a bounded number of packets in turn …
//		… wait, but not beyond broker.next_deadline_us() …
//	}
//
// The host hands in a party's packet only while that party's gate has room for the answer (poll
// says POLLOUT): who doesn't read what it is told isn't heard, and a domain whose gate is full all
// the same when an answer is due is ended. Starts, ends and the operator's answers happen in
// `tick`, some at a time; calls are connected by `received` at once.

#include "domain/broker/host.h"
#include "domain/broker/shown/refusals.h"
#include "domain/gate/message.h"
#include "rpc/policy/evaluator.h"

#include <array>
#include <optional>
#include <unordered_map>

namespace bulkhead::domain {

/* Of a domain. */
enum class State : uint8_t {
	STOPPED,
	STARTING, // runs, and hasn't said HELLO yet
	RUNNING,
	STOPPING, // its gate is closed; killed if that takes long
	WAITING, // starts when its time has come and those that it needs run
	FAILED, // isn't started again, unless the operator or a reload says so
};

/* The broker's limits, besides those of Domain_plan. */
inline constexpr uint64_t HELLO_US = 30'000'000; // from start to HELLO
inline constexpr uint64_t GRACE_US = 5'000'000; // from closed gate to kill
inline constexpr uint64_t CALL_WAIT_US = 30'000'000; // of a call for its target's start
inline constexpr uint64_t BACK_OFF_MIN_US = 100'000;
inline constexpr uint64_t BACK_OFF_MAX_US = 30'000'000;
inline constexpr uint64_t LONG_LIFE_US = 60'000'000; // after which the back-off begins anew
inline constexpr unsigned WAITING_MAX = 64; // calls that wait for one target's start
inline constexpr unsigned STARTS_OF_TICK = 4;
inline constexpr unsigned OPERATORS_MAX = 64; // connections
inline constexpr unsigned OPERATOR_CALLS_MAX = 256; // of one connection

/* A call that is live: a side is through with it when it says so, or is gone. */
struct Call
{
	uint32_t port = 0;
	Party caller = 0;
	Party target = 0;
	bool calling = true; // the caller isn't through with it
	bool serving = true; // the target isn't
	bool waits = false; // for the target's start
	uint64_t since_us = 0;
	std::string service{}; // of one that is connected, its first NAME_SHOWN_MAX bytes
	std::array<uint8_t, qrexec::IDENT_BYTES> ident{}; // as the caller has sent it
};

/* Either side of calls: a domain, or a connection of the operator's. */
struct Member
{
	Party id = 0;
	std::string name{};
	unsigned version = 0; // of the protocol; 0: it hasn't said HELLO
	unsigned made_live = 0;
	unsigned made_max = OPERATOR_CALLS_MAX;
	uint64_t calls_made = 0;
	uint64_t calls_refused = 0;
	Refusal_lines refusal_lines{};
};

/* Plain values, for whoever shows them. */
struct Domain : Member
{
	Domain_plan plan{};
	std::vector<Domain *> needs{};
	State state = State::STOPPED;
	uint64_t since_us = 0; // of the state
	uint64_t due_us = 0; // when something is done about it
	uint64_t back_off_us = 0; // of the last wait
	uint64_t starts = 0;
	uint64_t failures = 0;
	std::string last_end{};
	std::string advice{}; // what to do about that, for people
	std::string fault{}; // why it is being ended as a failure, or empty
	std::optional<State> next{}; // it was asked to end, and is to be this then
	uint64_t calls_served = 0;
	unsigned served_live = 0;
	std::vector<uint32_t> waiting{}; // ports of calls, in order
	bool greeted = false; // it has said HELLO
	bool adopted = false; // another broker has talked to it
	bool gone = true; // from the plan

	bool open() const { return state == State::STARTING || state == State::RUNNING; } // its gate
	bool alive() const { return open() || state == State::STOPPING; }
	bool at_rest() const { return state == State::STOPPED || state == State::FAILED; }
};

struct Operator : Member
{
	std::optional<Admin> asked{}; // what it waits for
	Party about = 0;
	uint64_t failures = 0; // of that domain, when it was asked
};

class Broker
{
private:
	Host &_host;
	uint32_t _port; // the last that was given out; 28 bits
	policy::Evaluator *_evaluator = nullptr;
	std::string _name{};
	std::unordered_map<Party, Domain> _by_id{};
	std::unordered_map<std::string_view, Domain *> _by_name{};
	std::vector<Domain *> _domains{}; // in order of need; those that are gone behind
	std::unordered_map<Party, Operator> _operators{};
	std::unordered_map<uint32_t, Call> _calls{}; // by port
	std::unordered_map<uint64_t, unsigned> _live{}; // by caller and target: not given back by it
	Refusals _refusals{};
	Party _next_id = 1;
	uint64_t _now_us = 0;
	uint64_t _next_us = 0;
	bool _ending = false;

	// broker.cc: messages.
	Member *_member(Party party);
	Sent _send(Party to, uint32_t type, std::initializer_list<Bytes> parts, With with = {});
	void _say_hello(Party to);
	void _hello(Member &from, Bytes body);

	// life.cc: domains' lives.
	void _wake(uint64_t at_us) { _next_us = std::min(_next_us, at_us); }
	bool _at_rest() const;
	void _set(Domain &domain, State state, uint64_t due_us = 0);
	void _want(Domain &domain, bool by_operator = false);
	void _stop(Domain &domain, State next);
	void _run(Domain &domain);
	void _leave(Domain &domain);
	void _over(Domain &domain, End const &end);
	void _start(Domain &domain, unsigned &starts);
	void _look_at(Domain &domain, unsigned &starts);
	void _stop_unneeded();
	void _bury();
	Domain &_take(Domain_plan plan);

	// calls.cc: calls.
	std::string _decide(Member const &caller, qrexec::Trigger const &call, Domain *&target);
	std::string _admit(Member const &caller, Domain &target);
	void _trigger(Member &caller, qrexec::Type type, Bytes body);
	void _connect(Call &call);
	void _fail(Call &call, std::string const &reason);
	void _refuse_waiting(Domain &target, std::string const &reason, uint64_t waited_us = 0);
	void _terminated(Member const &by, qrexec::Exec_params params);
	void _refuse(Member &caller, Bytes ident, Refused refused);
	bool _end(Call &call, bool calling, bool serving);
	void _part(Party party);

	// operator.cc: what the operator asks for.
	void _admin(Operator &from, Admin what, Bytes body);
	void _answer(Operator &to, Answer const &answer, With with = {});
	std::optional<Answer> _outcome(Operator const &of) const;
	void _answer_operators();

public:
	/* `port`: random, from where ports are counted. The host outlives the broker. */
	Broker(Host &host, uint32_t port, uint64_t now_us);

	/*
	 * Takes a new manifest and policy: what is the same goes on, what is gone stops, what has
	 * changed starts anew. The evaluator, made with all domains as running AppVMs and dom0, lives
	 * until the next has taken its place.
	 */
	void apply(System_plan plan, policy::Evaluator &evaluator);

	/* A domain runs already, with its gate. After the first `apply`, before the first `tick`. */
	void adopt(Party domain);

	/* At the same time: it was at rest, and isn't started by itself. */
	void rest(Party domain);

	/* By name, or 0. */
	Party id_of(std::string_view name) const;

	/* A packet from a gate. What is none of the protocol ends who sent it. */
	void received(Party from, Bytes packet);

	/* What came wasn't even a packet: too long, or with descriptors. */
	void broken(Party from, std::string_view reason);

	/* The other side has closed its gate. Not told of one that `Host::close` has closed. */
	void closed(Party party);

	/* A domain's processes are all gone, and its gate. */
	void ended(Party domain, End const &end);

	/* An operator's connection; false: there are too many, the host closes it. */
	bool connected(Party party);

	/* Ends all domains, those first that others don't need. */
	void shut_down() { _ending = true, _wake(0); }

	/* All have ended after `shut_down`, and who asked for it was told. */
	bool finished() const;

	/* The time, never less than before, and what is due at it. */
	void tick(uint64_t now_us);

	/* When `tick` is to be called at the latest; 0: at once. */
	uint64_t next_deadline_us() const { return _next_us; }

	// What there is to see.
	std::string_view name() const { return _name; }
	uint64_t now_us() const { return _now_us; }
	std::vector<Domain *> const &domains() const { return _domains; }
	std::unordered_map<uint32_t, Call> const &calls() const { return _calls; }
	std::deque<Refusal> const &refusals() const { return _refusals.all(); }
	Domain const *find(Party domain) const;
};

} // namespace bulkhead::domain
