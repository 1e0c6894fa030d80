#pragma once

// Bytes as a play: what domains, the operator, time and the system do to a broker, one event after
// another; what must always be so is looked at after each.

#include "domain/broker/shown/status.h"
#include "domain/broker/test/world.h"

namespace bulkhead::domain::test {

class Play
{
private:
	Byte_reader _script;
	World _world{};

	static constexpr std::array<std::string_view, 7> NAMES{
		"tpm", "vault", "work", "web", "idle", "dom0", ""};
	static constexpr std::array<std::string_view, 4> SERVICES{"a.B", "a.B+c", "a.Ask", "a.Deny"};
	static constexpr std::array<std::string_view, 2> RULES{
		"a.Ask * @anyvm @anyvm ask\na.Deny * @anyvm @anyvm deny\n"
		"a.B * web @default allow target=idle\n* * @anyvm @anyvm allow\n",
		"a.B * @anyvm idle allow autostart=no\n* * @anyvm vault allow\n"};

	/* One of few manifests. */
	std::vector<Domain_plan> _plans(uint8_t choice)
	{
		std::vector<Domain_plan> plans{
			{.name = "tpm", .component = "files", .services = {"a.B"}, .start = Start::ON_CALL},
			{.name = "vault", .component = "files", .services = {"*"}, .needs = {"tpm"}},
			{.name = "work", .component = "files", .services = {"a.B", "a.Ask"}},
			{.name = "web", .component = "files", .calls_max = 3},
			{.name = "idle",
				.component = "files",
				.services = {"*"},
				.needs = {"vault"},
				.start = Start::ON_CALL,
				.calls_max = 5}};
		plans[0].restart = Restart{static_cast<uint8_t>(choice % 3)};
		if (choice & 4) plans.erase(plans.begin() + 3);
		if (choice & 8) plans[2].scratch_bytes = 1;
		if (choice & 16) plans[1].restart = Restart::ALWAYS;
		if (choice & 32) plans.pop_back();
		return plans;
	}

	/* Someone with a gate that is open, or nobody. */
	Party _party()
	{
		uint8_t const choice = _script.u8();
		Party const party = choice < 0xc0 ? choice % 8 : OPERATORS | static_cast<Party>(choice % 4);
		auto const gate = _world.host.gates.find(party);
		return gate != _world.host.gates.end() && gate->second.open ? party : 0;
	}

	/* Somebody's process, or 0. */
	Party _process()
	{
		auto const &all = _world.host.processes;
		uint8_t const choice = _script.u8();
		if (all.empty()) return 0;
		return std::next(all.begin(), choice % static_cast<ptrdiff_t>(all.size()))->first;
	}

	void _terminate(Party party)
	{
		std::vector<Packet> const &packets = _world.gate(party).packets;
		uint8_t const choice = _script.u8();
		if (packets.empty()) return;
		Packet const &packet = packets[choice % packets.size()];
		if (packet.with == With::CLIENT_END || packet.with == With::SERVER_END)
			_world.terminate(party, packet.domain(), packet.port());
	}

	/* Any bytes. */
	void _raw(Party party)
	{
		Bytes const packet = _script.bytes(std::min<size_t>(_script.u8(), _script.left()));
		bool const call =
			packet.size() > 8 && (packet[0] == 0x12 || packet[0] == 0x13) && packet[1] == 2;
		Fake_host::Gate &gate = _world.gate(party);
		uint64_t const answered = gate.answered;
		gate.asked += call;
		_world.broker.received(party, packet);
		// It was no call, or not yet one.
		bool const waits = std::ranges::any_of(_world.broker.calls(),
			[&](auto const &entry) { return entry.second.caller == party && entry.second.waits; });
		if (call && gate.answered == answered && !waits) --gate.asked;
	}

	void _admin(Party party)
	{
		static constexpr std::array WHAT{
			Admin::STATUS, Admin::START, Admin::STOP, Admin::RESTART, Admin::RELOAD};
		Admin const what = WHAT[_script.u8() % WHAT.size()];
		bool const plain = what == Admin::STATUS || what == Admin::RELOAD;
		_world.send(party, what, plain ? "" : NAMES[_script.u8() % NAMES.size()]);
	}

	void _lack(uint8_t what)
	{
		_world.host.no_channels = what == 1;
		_world.host.no_descriptors = what == 2;
		_world.host.bad_starts.clear();
		if (what == 3) _world.host.bad_starts["vault"] = {.text = "no memory"};
		if (what == 4) _world.host.bad_starts["tpm"] = {.text = "no program", .lasting = true};
	}

	void _join(Party number)
	{
		if (!_world.gate(OPERATORS | number).open) _world.join(number);
	}

	void _close(Party party)
	{
		_world.gate(party).open = false;
		_world.broker.closed(party);
	}

	/* What one does who has a gate. */
	void _act(uint8_t what)
	{
		Party const party = _party();
		if (!party) return;
		switch (what) {
		case 0: return _world.hello(party, _script.u8() % 6);
		case 1: return _terminate(party);
		case 2: return _raw(party);
		case 3: return _close(party);
		case 4: _world.gate(party).full = _script.u8() & 1; return;
		case 5:
			if (operators(party)) _admin(party);
			return;
		default:
			uint8_t const choice = _script.u8();
			Member const *const domain = _world.broker.find(party);
			bool const greeted = operators(party) || (domain && domain->version);
			if (!greeted) return;
			_world.call(party, NAMES[choice % 7], SERVICES[choice / 7 % 4]);
		}
	}

	void _step()
	{
		uint8_t const what = _script.u8();
		if (what >= 0x60) return _act(what % 16);
		switch (what % 8) {
		case 0:
			if (Party const id = _process()) {
				bool const clean = _script.u8() & 1;
				_world.die(id, {.text = "an end", .clean = clean});
			}
			return;
		case 1: return _world.pass(uint64_t{_script.u8()} << (what / 8));
		case 2: return _world.apply(_plans(_script.u8()), RULES[_script.u8() % 2]);
		case 3: return _join(_script.u8() % 4);
		case 4: return _lack(_script.u8() % 8);
		case 5: return _world.pass(uint64_t{_script.u8()} * 1'000'000);
		default: return _greet();
		}
	}

	void _greet()
	{
		_world.pass();
		for (auto const &domain : _world.broker.domains())
			if (domain->state == State::STARTING) _world.hello(domain->id);
	}

	/* In the end everything ends, and nothing is left. */
	void _finish()
	{
		_world.broker.shut_down();
		for (unsigned i = 0; !_world.broker.finished(); ++i) {
			demand(i < 100, "a shut-down comes to an end");
			_world.pass(GRACE_US);
			while (!_world.host.processes.empty()) {
				_world.die(_world.host.processes.begin()->first);
				_world.check();
			}
			_world.pass();
		}
		for (auto &[party, gate] : _world.host.gates) {
			if (operators(party) && gate.open) {
				demand(gate.asked == gate.answered, "the operator's calls are answered");
				_close(party);
			}
		}
		demand(_world.broker.calls().empty(), "no call is left");
	}

public:
	explicit Play(Bytes script) : _script(script)
	{
		_world.apply(_plans(_script.u8()), RULES[0]);
		while (_script.left()) {
			_step();
			_world.check();
		}
		struct Facts final : Status_facts
		{
			Process process_of(Party) const override { return {}; }
		} const facts;
		std::string text;
		write_status(text, _world.broker, facts);
		_finish();
	}
};

} // namespace bulkhead::domain::test
