#include "domain/broker/broker.h"

namespace bulkhead::domain {

using namespace qrexec;

Broker::Broker(Host &host, uint32_t port, uint64_t now_us)
	: _host(host), _port(port), _now_us(now_us)
{}

Domain const *Broker::find(Party domain) const
{
	auto const found = _by_id.find(domain);
	return found == _by_id.end() ? nullptr : &found->second;
}

Party Broker::id_of(std::string_view name) const
{
	auto const found = _by_name.find(name);
	return found == _by_name.end() || found->second->gone ? 0 : found->second->id;
}

/* Whoever has a gate that is open. */
Member *Broker::_member(Party party)
{
	if (auto const found = _by_id.find(party); found != _by_id.end())
		return found->second.open() ? &found->second : nullptr;
	auto const found = _operators.find(party);
	return found == _operators.end() ? nullptr : &found->second;
}

Sent Broker::_send(Party to, uint32_t type, std::initializer_list<Bytes> parts, With with)
{
	size_t size = 0;
	for (Bytes const part : parts) size += part.size();
	std::array<uint8_t, PACKET_MAX> packet;
	Byte_writer writer(packet);
	writer.u32_le(type);
	writer.u32_le(static_cast<uint32_t>(size));
	for (Bytes const part : parts) writer.bytes(part);
	auto const whole = writer.finish();
	return whole.ok() ? _host.send(to, whole.value(), with) : Sent::FAILED;
}

void Broker::_say_hello(Party to)
{
	std::array<uint8_t, 4> version;
	encode_number(VERSION, version);
	// Who doesn't get it doesn't answer in time.
	_send(to, static_cast<uint32_t>(Type::HELLO), {version});
}

void Broker::received(Party from, Bytes packet)
{
	Member *const member = _member(from);
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
	bool const again = std::exchange(from.version, *version);
	bool const domain = !operators(from.id);
	// Where a broker has died before it heard the answer to its HELLO, there is one too many.
	if (again && !(domain && find(from.id)->adopted))
		return broken(from.id, "it has said HELLO twice");
	if (domain && !again) _run(static_cast<Domain &>(from));
}

void Broker::broken(Party from, std::string_view reason)
{
	Member *const member = _member(from);
	if (!member) return;
	_host.log(Level::WARNING, member->name + " is ended, for " + std::string(reason));
	_host.close(from);
	closed(from);
	if (operators(from)) return;
	static_cast<Domain *>(member)->fault = reason;
	_host.kill(from);
}

void Broker::closed(Party party)
{
	Member *const member = _member(party);
	if (!member) return;
	if (!operators(party)) return _leave(static_cast<Domain &>(*member));
	_part(party);
	_operators.erase(party);
}

void Broker::ended(Party id, End const &end)
{
	auto const found = _by_id.find(id);
	if (found == _by_id.end() || !found->second.alive()) return;
	closed(id);
	_over(found->second, end);
	_bury();
}

bool Broker::connected(Party party)
{
	if (_operators.size() >= OPERATORS_MAX) return false;
	Operator &added = _operators[party];
	added.id = party;
	added.name = OPERATOR;
	_say_hello(party);
	return true;
}

void Broker::tick(uint64_t now_us)
{
	_now_us = std::max(_now_us, now_us);
	if (_now_us < _next_us) return;
	_next_us = UINT64_MAX;
	if (_ending) _stop_unneeded();
	unsigned starts = 0;
	for (Domain *const domain : _domains) _look_at(*domain, starts);
	_answer_operators();
}

} // namespace bulkhead::domain
