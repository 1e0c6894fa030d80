#include "domain/broker/broker.h"

namespace bulkhead::domain {

using namespace qrexec;

std::string_view name_of(State state)
{
	switch (state) {
	case State::STOPPED: return "stopped";
	case State::STARTING: return "starting";
	case State::RUNNING: return "running";
	case State::STOPPING: return "stopping";
	case State::WAITING: return "waiting";
	case State::FAILED: return "failed";
	}
	return "unknown";
}

Broker::Broker(Host &host, uint32_t port, uint64_t now_us)
	: _host(host), _port(port), _now_us(now_us)
{}

Domain *Broker::find(Party domain) const
{
	auto const found = _by_id.find(domain);
	return found == _by_id.end() ? nullptr : found->second;
}

Party Broker::id_of(std::string_view name) const
{
	for (auto const &domain : _domains)
		if (domain->name == name && !domain->gone) return domain->id;
	return 0;
}

std::string_view Broker::name_of_party(Party party) const
{
	Domain const *const domain = find(party);
	return operators(party) ? OPERATOR : domain ? std::string_view(domain->name) : "";
}

Member *Broker::_member(Party party)
{
	if (!operators(party)) return find(party);
	auto const found = _operators.find(party);
	return found == _operators.end() ? nullptr : &found->second;
}

/* Whoever has a gate that is open. */
Member *Broker::_heard(Party party)
{
	Domain const *const domain = find(party);
	bool const open = !domain || (domain->alive() && domain->state != State::STOPPING);
	return open ? _member(party) : nullptr;
}

Sent Broker::_send(Party to, Type type, std::initializer_list<Bytes> parts, With with)
{
	size_t size = 0;
	for (Bytes const part : parts) size += part.size();
	std::array<uint8_t, PACKET_MAX> packet;
	Byte_writer writer(packet);
	writer.u32_le(static_cast<uint32_t>(type));
	writer.u32_le(static_cast<uint32_t>(size));
	for (Bytes const part : parts) writer.bytes(part);
	auto const whole = writer.finish();
	return whole.ok() ? _host.send(to, whole.value(), with) : Sent::FAILED;
}

void Broker::_say_hello(Member &to)
{
	std::array<uint8_t, 4> version;
	encode_number(VERSION, version);
	if (_send(to.id, Type::HELLO, {version}) != Sent::OK) broken(to.id, "it can't be told HELLO");
}

void Broker::received(Party from, Bytes packet)
{
	Member *const member = _heard(from);
	if (!member) return;
	if (packet.size() < Header::BYTES) return broken(from, "it has sent less than a header");
	Header const header = decode_header(packet);
	Bytes const body = packet.subspan(Header::BYTES);
	Type const type{header.type};
	if (header.size != body.size()) return broken(from, "it has sent a message of a wrong size");
	if (type == Type::HELLO) return _hello(*member, body);
	if (!member->version) {
		// What was on its way to the broker before is asked again.
		if (!operators(from) && find(from)->adopted) return;
		return broken(from, "it has sent something before its HELLO");
	}
	if (operators(from) && header.type >= static_cast<uint32_t>(Admin::STATUS))
		return _admin(static_cast<Operator &>(*member), Admin{header.type}, body);
	if (!permitted(Direction::AGENT_TO_DAEMON, member->version, header))
		return broken(from, "it has sent what it may not send");
	if (type == Type::CONNECTION_TERMINATED) return _terminated(*member, decode_exec_params(body));
	_trigger(*member, type, body);
}

void Broker::_hello(Member &from, Bytes body)
{
	if (body.size() != 4) return broken(from.id, "it has sent a HELLO of a wrong size");
	auto const version = common_version(VERSION, decode_number(body));
	if (!version || *version < LOCAL_VERSION)
		return broken(from.id, "it speaks a protocol that is too old");
	bool const again = from.version;
	from.version = *version;
	Domain *const domain = find(from.id);
	// Where a broker has died before it heard the answer to its HELLO, there is one too many.
	if (again && domain && domain->adopted) return;
	if (again) return broken(from.id, "it has said HELLO twice");
	if (!domain) return;
	domain->greeted = true;
	_set(*domain, State::RUNNING);
	_connect_waiting(*domain);
}

void Broker::broken(Party from, std::string_view reason)
{
	if (!_heard(from)) return;
	_host.log(Level::WARNING,
		std::string(name_of_party(from)) + " is ended for what it does: " + std::string(reason));
	_host.close(from);
	if (operators(from)) return closed(from);
	Domain &domain = *find(from);
	domain.fault = reason;
	_leave(domain);
	_host.kill(from);
}

void Broker::closed(Party party)
{
	Member *const member = _heard(party);
	if (!member) return;
	if (!operators(party)) return _leave(static_cast<Domain &>(*member));
	_part(*member, 0);
	_operators.erase(party);
}

void Broker::ended(Party id, End const &end)
{
	Domain *const domain = find(id);
	if (!domain || !domain->alive()) return;
	if (domain->state != State::STOPPING) _leave(*domain);
	_over(*domain, end);
	_bury();
}

bool Broker::connected(Party party)
{
	if (_operators.size() >= OPERATORS_MAX) return false;
	Operator &added = _operators[party];
	added.id = party;
	added.name = OPERATOR;
	_say_hello(added);
	return true;
}

void Broker::tick(uint64_t now_us)
{
	_now_us = std::max(_now_us, now_us);
	if (_now_us < _next_us) return;
	_next_us = UINT64_MAX;
	if (_ending) _stop_unneeded();
	unsigned starts = 0;
	for (auto const &domain : _domains) _look_at(*domain, starts);
	_answer_operators();
}

} // namespace bulkhead::domain
