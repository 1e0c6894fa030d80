#include "rpc/qrexec/service_config.h"

#include <algorithm>

namespace bulkhead::qrexec {

namespace {

using Kind = Config_fault::Kind;

constexpr std::string_view BLANKS = " \t";

enum class Key : uint8_t {
	WAIT_FOR_SESSION,
	FORCE_USER,
	SKIP_SERVICE_DESCRIPTOR,
	EXIT_ON_CLIENT_EOF,
	EXIT_ON_SERVICE_EOF,
	UNKNOWN,
};

Key key_of(std::string_view name)
{
	if (name == "wait-for-session") return Key::WAIT_FOR_SESSION;
	if (name == "force-user") return Key::FORCE_USER;
	if (name == "skip-service-descriptor") return Key::SKIP_SERVICE_DESCRIPTOR;
	if (name == "exit-on-client-eof") return Key::EXIT_ON_CLIENT_EOF;
	if (name == "exit-on-service-eof") return Key::EXIT_ON_SERVICE_EOF;
	return Key::UNKNOWN;
}

bool of_boolean(Key key) { return key != Key::FORCE_USER && key != Key::UNKNOWN; }

struct Value
{
	enum class Type : uint8_t { BOOLEAN, NUMBER, STRING };

	Type type = Type::BOOLEAN;
	std::string_view text{}; // a string without its quotes
};

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool digit(char c) { return c >= '0' && c <= '9'; }

void skip_blanks(std::string_view &text)
{
	text.remove_prefix(std::min(text.find_first_not_of(BLANKS), text.size()));
}

/* Takes a key and its "=" off a line. */
Attempt<Key, Kind> take_key(std::string_view &line)
{
	if (!letter(line.front())) return Kind::NO_KEY;
	auto const of_key = [](char c) {
		return letter(c) || digit(c) || c == '.' || c == '-' || c == '_';
	};
	size_t const size = static_cast<size_t>(std::ranges::find_if_not(line, of_key) - line.begin());
	Key const key = key_of(line.substr(0, size));
	line.remove_prefix(size);
	skip_blanks(line);
	if (!line.starts_with('=')) return Kind::NO_EQUALS;
	line.remove_prefix(1);
	skip_blanks(line);
	return key;
}

Attempt<Value, Kind> take_string(std::string_view &line)
{
	if (line.starts_with("'''")) return Kind::BAD_STRING;
	size_t const end = line.find('\'', 1);
	if (end == line.npos) return Kind::BAD_STRING;
	Value const value{Value::Type::STRING, line.substr(1, end - 1)};
	auto const control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
	if (std::ranges::any_of(value.text, control)) return Kind::BAD_STRING;
	line.remove_prefix(end + 1);
	return value;
}

/* Takes a value off a line; none of ours may be more than what upstream's parser takes. */
Attempt<Value, Kind> take_value(std::string_view &line)
{
	if (line.empty() || line.front() == '#') return Kind::NO_VALUE;
	if (line.front() == '\'') return take_string(line);
	if (line.front() == '"') return Kind::BAD_STRING;
	size_t size = 0;
	Value::Type type = Value::Type::BOOLEAN;
	if (line.starts_with("true")) {
		size = 4;
	} else if (line.starts_with("false")) {
		size = 5;
	} else if (digit(line.front())) {
		type = Value::Type::NUMBER;
		size = 1;
		while (line.front() != '0' && size < line.size() && digit(line[size])) ++size;
	} else {
		return Kind::BAD_VALUE;
	}
	Value const value{type, line.substr(0, size)};
	line.remove_prefix(size);
	return value;
}

class Parser
{
private:
	unsigned _seen = 0; // a bit for each key
	Service_config &_config;

	Attempt<void, Kind> _set_boolean(bool &setting, Value const &value)
	{
		bool const number = value.type == Value::Type::NUMBER;
		bool const known =
			number ? value.text == "0" || value.text == "1" : value.type == Value::Type::BOOLEAN;
		if (!known) return Kind::BAD_BOOLEAN;
		setting = value.text == "1" || value.text == "true";
		return Ok{};
	}

	Attempt<void, Kind> _set_user(Value const &value)
	{
		if (value.type != Value::Type::STRING || value.text.empty()) return Kind::BAD_STRING;
		auto const user = Fixed_string<255>::from(value.text);
		if (!user.ok()) return Kind::BAD_STRING;
		_config.force_user = user.value();
		return Ok{};
	}

	Attempt<void, Kind> _set(Key key, Value const &value)
	{
		switch (key) {
		case Key::WAIT_FOR_SESSION: return _set_boolean(_config.wait_for_session, value);
		case Key::FORCE_USER: return _set_user(value);
		case Key::SKIP_SERVICE_DESCRIPTOR:
			return _set_boolean(_config.skip_service_descriptor, value);
		case Key::EXIT_ON_CLIENT_EOF: return _set_boolean(_config.exit_on_client_eof, value);
		case Key::EXIT_ON_SERVICE_EOF: return _set_boolean(_config.exit_on_service_eof, value);
		case Key::UNKNOWN: break;
		}
		return Ok{};
	}

public:
	explicit Parser(Service_config &config) : _config(config) {}

	/* A line without its end. */
	Attempt<void, Kind> parse(std::string_view line, unsigned number)
	{
		if (line.find('\0') != line.npos) return Kind::BAD_BYTE;
		if (line.empty() || line.front() == '#') return Ok{};
		Key const key = TRY(take_key(line));
		Value const value = TRY(take_value(line));
		skip_blanks(line);
		if (!line.empty() && line.front() != '#') {
			if (value.type != Value::Type::NUMBER) return Kind::TRAILING;
			return of_boolean(key) ? Kind::BAD_BOOLEAN : Kind::BAD_VALUE;
		}

		if (key == Key::UNKNOWN) {
			if (_config.ignored_line == 0) _config.ignored_line = number;
			return Ok{};
		}
		unsigned const bit = 1U << unsigned(key);
		if (_seen & bit) return Kind::REPEATED_KEY;
		_seen |= bit;
		TRY(_set(key, value));
		bool const of_sockets = _config.skip_service_descriptor || _config.exit_on_client_eof ||
			_config.exit_on_service_eof;
		if (_config.force_user && of_sockets) return Kind::CONFLICT;
		return Ok{};
	}
};

} // namespace

std::string_view text_of(Kind kind)
{
	switch (kind) {
	case Kind::TOO_LONG: return "the file is longer than 4096 bytes";
	case Kind::NO_KEY:
		return "no setting in the first column; sections and blanks before a setting aren't known";
	case Kind::REPEATED_KEY: return "the setting is there twice; remove one";
	case Kind::NO_EQUALS: return "no = behind the name of the setting";
	case Kind::NO_VALUE: return "no value behind the =";
	case Kind::BAD_VALUE: return "the value is none of true, false, a number, a 'string'";
	case Kind::BAD_BOOLEAN: return "the value is none of true, false, 1, 0";
	case Kind::BAD_STRING:
		return "the value isn't a 'string' in single quotes of 1 to 255 printable characters";
	case Kind::TRAILING: return "something is behind the value; only a # comment may be";
	case Kind::BAD_BYTE: return "a NUL byte is in the line";
	case Kind::CONFLICT:
		return "force-user can't be with skip-service-descriptor, exit-on-client-eof or "
			   "exit-on-service-eof: a service behind a socket has a user of its own";
	}
	return "an unknown fault";
}

Attempt<Service_config, Config_fault> parse_service_config(std::string_view text)
{
	if (text.size() > Service_config::FILE_MAX_BYTES) return Config_fault{Kind::TOO_LONG, 0};
	Service_config config;
	Parser parser{config};
	for (unsigned number = 1; !text.empty(); ++number) {
		size_t const end = text.find('\n');
		std::string_view line = text.substr(0, end);
		if (end == text.npos) {
			text = {};
		} else {
			text.remove_prefix(end + 1);
			if (line.ends_with('\r')) line.remove_suffix(1);
		}
		auto const parsed = parser.parse(line, number);
		if (!parsed.ok()) return Config_fault{parsed.error(), number};
	}
	return config;
}

} // namespace bulkhead::qrexec
