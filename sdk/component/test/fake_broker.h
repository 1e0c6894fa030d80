#pragma once

// A broker for tests: in the same process, in a loop, with a policy that is a function.
//
//	Fake_broker broker(loop);
//	env.start(broker.add("vault"), "vault");
//	channel.adopt(broker.call("work", "vault", "sign.Document+key").value(), Side::CALLER);

#include "domain/gate/message.h"
#include "platform/linux/gate.h"
#include "platform/linux/loop.h"
#include "platform/linux/vchan/channel.h"

#include <array>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::component {

/* Belongs to the loop's thread. */
class Fake_broker
{
public:
	struct Call
	{
		std::string caller;
		std::string target;
		std::string service; // with its argument
		uint32_t port;
		unsigned ends = 0; // how many sides have said that they are done
	};

private:
	struct Domain final : linux_host::Loop::Source
	{
		Fake_broker &broker;
		std::string const name;
		uint32_t const id;
		linux_host::Gate gate{};
		unsigned hellos = 0; // answers to ours

		Domain(Fake_broker &b, std::string n, uint32_t i) : broker(b), name(std::move(n)), id(i) {}

		void ready(uint32_t) override { broker._receive(*this); }
	};

	linux_host::Loop &_loop;
	std::list<Domain> _domains{};
	std::list<Call> _calls{};
	uint32_t _last_port = 0;

	static std::vector<uint8_t> _message(qrexec::Type type, size_t body)
	{
		std::vector<uint8_t> message(qrexec::Header::BYTES + body);
		encode(qrexec::Header{static_cast<uint32_t>(type), static_cast<uint32_t>(body)},
			std::span(message).first<qrexec::Header::BYTES>());
		return message;
	}

	static std::vector<uint8_t> _announce(
		qrexec::Type type, qrexec::Exec_params params, std::string_view text)
	{
		constexpr size_t FRONT = qrexec::Header::BYTES + qrexec::Exec_params::BYTES;
		auto message = _message(type, qrexec::Exec_params::BYTES + text.size() + 1);
		encode(params, std::span(message).subspan<qrexec::Header::BYTES, 8>());
		copy_bytes(std::span(message).subspan(FRONT), bytes_of(text));
		return message;
	}

	static bool _send(
		Domain &to, std::vector<uint8_t> const &message, linux_host::Channel_end const *end)
	{
		Bytes const view = message;
		if (!end) return to.gate.send({&view, 1}).ok();
		std::array<int, domain::DESCRIPTORS> const descriptors{
			end->memory.value(), end->bell.out(), end->bell.in()};
		return to.gate.send({&view, 1}, descriptors).ok();
	}

	Domain *_find(std::string_view name)
	{
		for (Domain &domain : _domains)
			if (domain.name == name && domain.gate.fd() >= 0) return &domain;
		return nullptr;
	}

	void _refuse(Domain &caller, std::string_view ident)
	{
		auto message = _message(qrexec::Type::SERVICE_REFUSED, qrexec::IDENT_BYTES);
		copy_bytes(std::span(message).subspan(qrexec::Header::BYTES), bytes_of(ident));
		_send(caller, message, nullptr);
	}

	void _asked(Domain &caller, qrexec::Trigger const &wanted)
	{
		if (refuse && refuse(caller.name, wanted.target, wanted.service))
			return _refuse(caller, wanted.ident);
		auto end = call(caller.name, wanted.target, wanted.service);
		Domain *const target = _find(wanted.target);
		if (!end.ok()) return _refuse(caller, wanted.ident);
		_send(caller,
			_announce(qrexec::Type::SERVICE_CONNECT, {target->id, _last_port}, wanted.ident),
			&end.value());
	}

	void _receive(Domain &from)
	{
		std::array<uint8_t, domain::PACKET_MAX> buffer;
		auto const received = from.gate.receive(buffer);
		if (!received.ok() || received.value().bytes == 0) {
			if (!received.ok() && received.error() == Error::WOULD_BLOCK) return;
			_loop.remove(from);
			return from.gate.close();
		}
		Bytes const message = std::span(buffer).first(received.value().bytes);
		Bytes const body = message.subspan(qrexec::Header::BYTES);
		auto const type = static_cast<qrexec::Type>(qrexec::decode_header(message).type);
		if (type == qrexec::Type::HELLO) {
			++from.hellos;
		} else if (type == qrexec::Type::TRIGGER_SERVICE4) {
			auto const wanted = qrexec::decode_trigger(type, body);
			if (wanted && !deaf) _asked(from, *wanted);
		} else if (type == qrexec::Type::CONNECTION_TERMINATED) {
			uint32_t const port = qrexec::decode_exec_params(body).port;
			_calls.remove_if([&](Call &call) { return call.port == port && ++call.ends == 2; });
		}
	}

public:
	/* Says no; none: all is allowed between the domains that there are. */
	std::function<bool(std::string_view caller, std::string_view target, std::string_view service)>
		refuse{};
	bool deaf = false; // takes wishes and never answers them
	uint32_t ring_bytes = 64 * 1024;

	explicit Fake_broker(linux_host::Loop &loop) : _loop(loop) {}

	/* A domain's gate, for `Env::start`. */
	linux_host::Owned_fd add(std::string name)
	{
		auto pair = linux_host::Gate::make_pair();
		if (!pair.ok()) return {};
		Domain &domain = _domains.emplace_back(
			*this, std::move(name), static_cast<uint32_t>(_domains.size() + 1));
		domain.gate =
			linux_host::Gate(std::move(pair.value().first), linux_host::Gate_takes::NOTHING);
		static_cast<void>(_loop.add(domain, domain.gate.fd(), EPOLLIN));
		greet(domain.name);
		return std::move(pair.value().second);
	}

	/* As a broker at its start: the domain answers, and asks again what it waits for. */
	void greet(std::string_view name)
	{
		Domain *const domain = _find(name);
		if (!domain) return;
		auto message = _message(qrexec::Type::HELLO, 4);
		qrexec::encode_number(qrexec::VERSION, std::span(message).last<4>());
		_send(*domain, message, nullptr);
	}

	/* How often a domain has answered a greeting. */
	unsigned greetings(std::string_view name)
	{
		Domain *const domain = _find(name);
		return domain ? domain->hellos : 0;
	}

	/* Ends a domain, as far as it can be told. */
	void close(std::string_view name)
	{
		Domain *const domain = _find(name);
		if (!domain) return;
		_loop.remove(*domain);
		domain->gate.close();
	}

	/*
	 * Calls a service as a domain that needn't exist: the caller's end. NOT_FOUND: no such target.
	 */
	Attempt<linux_host::Channel_end> call(
		std::string caller, std::string_view target, std::string_view service)
	{
		Domain *const serving = _find(target);
		if (!serving) return Error::NOT_FOUND;
		auto pair = linux_host::make_channel({ring_bytes, ring_bytes}, ++_last_port);
		if (!pair.ok()) return Error::TOO_MANY_OPEN;
		Domain *const calling = _find(caller);
		std::string const command = "DEFAULT:QUBESRPC " + std::string(service) + " " + caller;
		bool const told = _send(*serving,
			_announce(qrexec::Type::EXEC_CMDLINE, {calling ? calling->id : 0, _last_port}, command),
			&pair.value().client);
		if (!told) return Error::BROKEN_PIPE;
		unsigned const ends = calling ? 0 : 1; // nobody will tell for the test
		_calls.push_back(
			{std::move(caller), std::string(target), std::string(service), _last_port, ends});
		return std::move(pair.value().server);
	}

	/* Those of which not both sides have said that they are done. */
	std::list<Call> const &calls() const { return _calls; }
};

} // namespace bulkhead::component
