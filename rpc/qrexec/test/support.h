#pragma once

// Streams of messages as bytes, for the tests of what reads them.

#include "rpc/qrexec/message.h"

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::qrexec::test {

using Buffer = std::vector<uint8_t>;

inline void append(Buffer &to, Bytes bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

inline Buffer operator+(Buffer left, Buffer const &right)
{
	append(left, right);
	return left;
}

inline Buffer message(Type type, Bytes body)
{
	Buffer result(Header::BYTES);
	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(body.size())},
		std::span(result).first<Header::BYTES>());
	append(result, body);
	return result;
}

inline Buffer message(Type type, std::string_view body) { return message(type, bytes_of(body)); }

inline Buffer number(uint32_t value)
{
	Buffer result(4);
	encode_number(value, std::span(result).first<4>());
	return result;
}

inline Buffer hello(uint32_t version = VERSION) { return message(Type::HELLO, number(version)); }

inline Buffer params(uint32_t domain, uint32_t port) { return number(domain) + number(port); }

inline Buffer text(std::string_view value)
{
	Bytes const bytes = bytes_of(value);
	return {bytes.begin(), bytes.end()};
}

/* A name in a field of fixed size. */
inline Buffer field(std::string_view name, size_t bytes)
{
	Buffer result = text(name);
	result.resize(bytes);
	return result;
}

constexpr std::initializer_list<Direction> DIRECTIONS{Direction::DAEMON_TO_AGENT,
	Direction::AGENT_TO_DAEMON, Direction::CLIENT_TO_DAEMON, Direction::DAEMON_TO_CLIENT,
	Direction::PROGRAM_TO_AGENT, Direction::CALLER_TO_SERVICE, Direction::SERVICE_TO_CALLER};

constexpr std::initializer_list<Type> TYPES{Type::DATA_STDIN, Type::DATA_STDOUT, Type::DATA_STDERR,
	Type::DATA_EXIT_CODE, Type::EXEC_CMDLINE, Type::JUST_EXEC, Type::SERVICE_CONNECT,
	Type::SERVICE_REFUSED, Type::TRIGGER_SERVICE, Type::CONNECTION_TERMINATED,
	Type::TRIGGER_SERVICE3, Type::TRIGGER_SERVICE4, Type::HELLO};

} // namespace bulkhead::qrexec::test
