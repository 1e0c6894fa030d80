#pragma once

// A broker and all that is around it, made up: processes that run when they are told to, gates
// whose packets are kept, and a count of what was asked and what was answered.

#include "domain/broker/broker.h"
#include "rpc/policy/test/support.h"

#include <functional>
#include <map>
#include <set>

namespace bulkhead::domain::test {

inline void demand(bool condition, char const *what)
{
	if (condition) return;
	fprintf(stderr, "it isn't so that %s\n", what);
	abort();
}

struct Packet
{
	uint32_t type;
	std::string body;
	With with;

	qrexec::Type kind() const { return qrexec::Type{type}; }
	uint32_t number(size_t at) const { return qrexec::decode_number(bytes_of(body).subspan(at)); }
	uint32_t domain() const { return number(0); }
	uint32_t port() const { return number(4); }
};

class Fake_host final : public Host
{
public:
	struct Gate
	{
		bool open = false;
		bool full = false; // nothing gets in
		std::vector<Packet> packets{};
		uint64_t asked = 0; // calls
		uint64_t answered = 0;
	};

	std::map<Party, Gate> gates{};
	std::map<Party, bool> processes{}; // true: killed, and its end not told yet
	std::set<Party> down_now{};
	std::vector<std::string> lines{}; // of the log
	std::map<std::string, End> bad_starts{};
	std::function<Answer()> at_reload = [] { return Answer{}; };
	bool no_channels = false;
	bool no_descriptors = false;
	bool channel = false; // was made and isn't dropped
	unsigned channels = 0;
	unsigned starts = 0;

	bool start(Party domain, Domain_plan const &plan, End &end) override
	{
		demand(!processes.contains(domain), "a domain is started once at a time");
		if (auto const bad = bad_starts.find(plan.name); bad != bad_starts.end()) {
			end = bad->second;
			return false;
		}
		++starts;
		processes[domain] = false;
		gates[domain] = Gate{.open = true};
		return true;
	}

	void close(Party party) override
	{
		demand(gates[party].open, "a gate is closed once");
		gates[party].open = false;
	}

	void kill(Party domain) override
	{
		demand(processes.contains(domain), "only what runs is killed");
		processes[domain] = true;
	}

	bool room(Party party) override { return !gates[party].full; }

	Sent send(Party to, Bytes packet, With with) override
	{
		Gate &gate = gates[to];
		demand(gate.open, "a packet goes to a gate that is open");
		demand(packet.size() >= qrexec::Header::BYTES, "a packet has a header");
		qrexec::Header const header = qrexec::decode_header(packet);
		demand(packet.size() == qrexec::Header::BYTES + header.size, "a packet is a message");
		bool const end = with == With::CLIENT_END || with == With::SERVER_END;
		demand(!end || channel, "ends are of a channel that is there");
		qrexec::Type const type{header.type};
		demand(end == (type == qrexec::Type::SERVICE_CONNECT || type == qrexec::Type::EXEC_CMDLINE),
			"ends come with calls only");
		bool const known = header.type >= 0x1000 ||
			qrexec::permitted(qrexec::Direction::DAEMON_TO_AGENT, qrexec::VERSION, header);
		demand(known, "a broker sends what it may");
		if (gate.full) return Sent::FULL;
		if (no_descriptors && with != With::NOTHING) return Sent::FAILED;
		Bytes const body = packet.subspan(qrexec::Header::BYTES);
		gate.packets.push_back({header.type, std::string(text_of(body)), with});
		gate.answered +=
			type == qrexec::Type::SERVICE_CONNECT || type == qrexec::Type::SERVICE_REFUSED;
		demand(gate.answered <= gate.asked, "a call is answered once");
		return Sent::OK;
	}

	bool make_channel(uint32_t port, uint32_t) override
	{
		demand(!channel, "there is one channel at a time");
		demand(port && port < 1 << 28, "a port is a generation");
		channels += !no_channels;
		return channel = !no_channels;
	}

	void drop_channel() override
	{
		demand(channel, "a channel is dropped once");
		channel = false;
	}

	void down(Party domain, bool is) override
	{
		demand(!is || !down_now.contains(domain), "rest is told once");
		if (is)
			down_now.insert(domain);
		else
			down_now.erase(domain);
	}

	void log(Level, std::string_view line) override { lines.emplace_back(line); }

	Answer reload() override { return at_reload(); }
};

/* Time, policies and domains around a broker. */
class World
{
private:
	struct Rules
	{
		policy::test::Memory_files files{};
		policy::test::Heap heap{};
		Owned<policy::Policy> policy{};
		Owned<policy::System> system{};
		Owned<policy::Evaluator> evaluator{};
	};

	std::unique_ptr<Rules> _rules{};

public:
	Fake_host host{};
	uint64_t now_us = 1'000'000'000;
	Broker broker;

	explicit World(uint32_t port = 1000) : broker(host, port, now_us) {}

	void apply(std::vector<Domain_plan> domains, std::string_view rules)
	{
		auto next = std::make_unique<Rules>();
		next->files.texts["p/30.policy"] = rules;
		static constexpr std::array<std::string_view, 1> DIRECTORIES{"p"};
		next->policy = policy::Policy::load(next->heap, next->files, DIRECTORIES, "").value();
		std::vector<policy::test::Described> known{
			{.name = "dom0", .type = "AdminVM", .default_dispvm = "", .running = true}};
		for (Domain_plan const &plan : domains) {
			known.push_back({.name = plan.name, .default_dispvm = "", .running = true});
			for (std::string const &tag : plan.tags) known.back().tags.push_back(tag);
		}
		auto const descriptions = policy::test::descriptions(known);
		next->system = policy::System::create(next->heap, descriptions).value();
		next->evaluator =
			policy::Evaluator::create(next->heap, *next->policy, *next->system).value();
		broker.apply(
			{.name = "test", .manifest = "test.toml", .domains = domains}, *next->evaluator);
		std::swap(_rules, next);
	}

	/* Lets time pass and the broker do what is due. */
	void pass(uint64_t us = 0)
	{
		uint64_t const until_us = now_us + us;
		for (unsigned i = 0;; ++i) {
			demand(i < 100'000, "a broker comes to rest");
			uint64_t const next_us = broker.next_deadline_us();
			if (next_us > until_us) break;
			now_us = std::max(now_us, next_us);
			broker.tick(now_us);
		}
		now_us = until_us;
		broker.tick(now_us);
	}

	Party id(std::string_view name) const { return broker.id_of(name); }
	Domain const &domain(std::string_view name) const { return *broker.find(id(name)); }
	State state(std::string_view name) const { return domain(name).state; }
	Fake_host::Gate &gate(Party party) { return host.gates[party]; }
	Fake_host::Gate &gate(std::string_view name) { return host.gates[id(name)]; }

	void send(Party from, uint32_t type, std::string_view body)
	{
		std::array<uint8_t, PACKET_MAX> packet;
		qrexec::encode({.type = type, .size = static_cast<uint32_t>(body.size())},
			std::span(packet).first<qrexec::Header::BYTES>());
		copy_bytes(std::span(packet).subspan(qrexec::Header::BYTES), bytes_of(body));
		broker.received(from, std::span(packet).first(qrexec::Header::BYTES + body.size()));
	}
	void send(Party from, Admin what, std::string_view body = "")
	{
		send(from, static_cast<uint32_t>(what), body);
	}

	void hello(Party from, uint32_t version = qrexec::VERSION)
	{
		std::array<uint8_t, 4> body;
		qrexec::encode_number(version, body);
		send(from, 0x300, text_of(body));
	}

	/* Says HELLO for all that were started, until nobody starts any more. */
	void greet()
	{
		for (bool more = true; std::exchange(more, false);) {
			pass();
			for (auto const &domain : broker.domains()) {
				if (domain->state != State::STARTING) continue;
				hello(domain->id);
				more = true;
			}
		}
		pass();
	}

	void call(Party from, std::string_view target, std::string_view service,
		std::string_view ident = "i", std::string_view source = "")
	{
		std::array<uint8_t, PACKET_MAX> packet;
		size_t const size = qrexec::encode_trigger(qrexec::VERSION,
			{.source = source, .target = target, .ident = ident, .service = service}, packet);
		demand(size > 0, "a call fits into a packet");
		++host.gates[from].asked;
		broker.received(from, std::span(packet).first(size));
	}
	void call(std::string_view from, std::string_view target, std::string_view service,
		std::string_view ident = "i")
	{
		call(id(from), target, service, ident);
	}

	void terminate(Party from, uint32_t domain, uint32_t port)
	{
		std::array<uint8_t, 8> body;
		qrexec::encode({.domain = domain, .port = port}, body);
		send(from, 0x211, text_of(body));
	}

	/* A domain's process ends. */
	void die(Party id, End const &end = {.text = "killed by signal 9"})
	{
		demand(host.processes.erase(id), "what ends has run");
		host.gates[id].open = false;
		broker.ended(id, end);
	}
	void die(std::string_view name, End const &end = {.text = "killed by signal 9"})
	{
		die(id(name), end);
	}

	Party join(Party number)
	{
		Party const party = OPERATORS | number;
		host.gates[party] = {.open = true};
		if (!broker.connected(party)) {
			host.gates[party].open = false;
			return 0;
		}
		hello(party);
		return party;
	}
	void leave(Party party)
	{
		host.gates[party].open = false;
		broker.closed(party);
	}

	/* The packets since the last time. */
	std::vector<Packet> take(Party party) { return std::exchange(gate(party).packets, {}); }
	std::vector<Packet> take(std::string_view name) { return take(id(name)); }

	/* The last packet, which is there. */
	Packet last(Party party)
	{
		demand(!gate(party).packets.empty(), "a packet has come");
		return gate(party).packets.back();
	}
	Packet last(std::string_view name) { return last(id(name)); }

	bool logged(std::string_view part) const
	{
		return std::ranges::any_of(
			host.lines, [&](auto const &line) { return line.find(part) != line.npos; });
	}

	/* What is always so between two events. */
	void check() const
	{
		std::map<Party, std::array<unsigned, 2>> live;
		size_t waiting = 0;
		for (auto const &[port, call] : broker.calls()) {
			demand(call.port == port && port && port < 1 << 28, "a call has its port");
			demand(call.calling || call.serving, "a call that is over is gone");
			demand(!call.waits || (call.calling && call.serving), "a call that waits has a caller");
			live[call.caller][0] += call.calling;
			live[call.target][1] += call.serving;
			waiting += call.waits;
		}
		for (auto const &domain : broker.domains()) {
			demand(!domain->gone || domain->alive(), "what is gone is forgotten");
			bool const down = host.down_now.contains(domain->id);
			demand(!down || domain->at_rest(), "who is said to be at rest is");
			demand(down || !domain->at_rest() || domain->starts == 0, "rest is told");
			demand(domain->made_live == live[domain->id][0], "live calls are counted");
			demand(domain->served_live == live[domain->id][1], "served calls are counted");
			demand(domain->served_live <= std::max<size_t>(domain->plan.calls_max, 256),
				"a target's calls are limited");
			demand(domain->waiting.size() <= WAITING_MAX, "calls that wait are limited");
			waiting -= domain->waiting.size();
			for (uint32_t const port : domain->waiting)
				demand(broker.calls().at(port).waits, "who is in the queue waits");
			State const state = domain->state;
			bool const runs = host.processes.contains(domain->id);
			demand(domain->alive() == runs, "a domain is alive if its process is");
			auto const gate = host.gates.find(domain->id);
			bool const open = gate != host.gates.end() && gate->second.open;
			demand(open == (state == State::STARTING || state == State::RUNNING),
				"a gate is open while a domain starts and runs");
			demand((domain->version != 0) == (state == State::RUNNING), "who runs has said HELLO");
			demand(domain->waiting.empty() ||
					(state != State::RUNNING && state != State::FAILED && state != State::STOPPED),
				"calls wait for who comes");
		}
		for (auto const &[party, gate] : host.gates) {
			size_t own = 0;
			for (auto const &[port, call] : broker.calls())
				own += call.waits && call.caller == party;
			demand(!gate.open || gate.asked - gate.answered == own,
				"every call is answered, or waits");
		}
		demand(waiting == 0, "who waits is in the queue");
		demand(!host.channel, "no channel is kept");
		demand(broker.refusals().size() <= REFUSALS_MAX, "refusals are limited");
	}
};

} // namespace bulkhead::domain::test
