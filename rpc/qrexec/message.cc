#include "rpc/qrexec/message.h"

namespace bulkhead::qrexec {

namespace {

/* Sizes of a body, both included. Nothing is permitted where `least` is greater than `most`. */
struct Sizes
{
	size_t least;
	size_t most;

	bool has(size_t size) const { return least <= size && size <= most; }
};

constexpr Sizes NONE{1, 0};
constexpr Sizes HELLO_SIZES{4, 4};
constexpr Sizes COMMAND_SIZES{Exec_params::BYTES + 1, Exec_params::BYTES + COMMAND_MAX};
// Clients of a daemon may leave out the zeros behind an ident, and daemons pass that on as it is.
constexpr Sizes CONNECT_SIZES{Exec_params::BYTES + 2, Exec_params::BYTES + IDENT_BYTES};
constexpr Sizes PARAMS_SIZES{Exec_params::BYTES, Exec_params::BYTES};
constexpr Sizes IDENT_SIZES{IDENT_BYTES, IDENT_BYTES};
constexpr Sizes TRIGGER2_SIZES{TRIGGER2_BYTES, TRIGGER2_BYTES};
// The NUL of a name at least: that a name is empty is no reason to end the connection.
constexpr Sizes TRIGGER3_SIZES{TRIGGER3_BYTES + 1, TRIGGER3_BYTES + SERVICE_MAX};
constexpr Sizes TRIGGER4_SIZES{TRIGGER4_BYTES + 1, TRIGGER4_BYTES + SERVICE_MAX};
constexpr Sizes EXIT_SIZES{4, 4};

Sizes from_daemon_to_agent(Type type)
{
	switch (type) {
	case Type::EXEC_CMDLINE:
	case Type::JUST_EXEC: return COMMAND_SIZES;
	case Type::SERVICE_CONNECT: return CONNECT_SIZES;
	case Type::SERVICE_REFUSED: return IDENT_SIZES;
	default: return NONE;
	}
}

Sizes trigger(Type type, uint32_t version)
{
	switch (type) {
	case Type::TRIGGER_SERVICE: return version == 2 ? TRIGGER2_SIZES : NONE;
	case Type::TRIGGER_SERVICE3: return version >= 3 ? TRIGGER3_SIZES : NONE;
	// Agents of version 4 send it without a look at what the daemon said.
	case Type::TRIGGER_SERVICE4: return version >= 3 ? TRIGGER4_SIZES : NONE;
	default: return NONE;
	}
}

Sizes from_client_to_daemon(Type type)
{
	switch (type) {
	case Type::EXEC_CMDLINE:
	case Type::JUST_EXEC: return COMMAND_SIZES;
	case Type::SERVICE_CONNECT: return CONNECT_SIZES;
	default: return NONE;
	}
}

Sizes from_daemon_to_client(Type type)
{
	switch (type) {
	case Type::EXEC_CMDLINE:
	case Type::JUST_EXEC:
	case Type::SERVICE_CONNECT: return PARAMS_SIZES;
	default: return NONE;
	}
}

Sizes chunk(uint32_t version) { return {0, version == 2 ? CHUNK_MAX_V2 : CHUNK_MAX}; }

Sizes sizes_of(Direction direction, uint32_t version, Type type)
{
	if (type == Type::HELLO) return direction == Direction::PROGRAM_TO_AGENT ? NONE : HELLO_SIZES;
	if (version < VERSION_MIN) return NONE;
	switch (direction) {
	case Direction::DAEMON_TO_AGENT: return from_daemon_to_agent(type);
	case Direction::AGENT_TO_DAEMON:
		return type == Type::CONNECTION_TERMINATED ? PARAMS_SIZES : trigger(type, version);
	case Direction::CLIENT_TO_DAEMON: return from_client_to_daemon(type);
	case Direction::DAEMON_TO_CLIENT: return from_daemon_to_client(type);
	case Direction::PROGRAM_TO_AGENT: return trigger(type, version);
	case Direction::CALLER_TO_SERVICE: return type == Type::DATA_STDIN ? chunk(version) : NONE;
	case Direction::SERVICE_TO_CALLER:
		if (type == Type::DATA_EXIT_CODE) return EXIT_SIZES;
		return type == Type::DATA_STDOUT || type == Type::DATA_STDERR ? chunk(version) : NONE;
	}
	return NONE;
}

size_t trigger_bytes(Type type)
{
	switch (type) {
	case Type::TRIGGER_SERVICE: return TRIGGER2_BYTES;
	case Type::TRIGGER_SERVICE3: return TRIGGER3_BYTES;
	default: return TRIGGER4_BYTES;
	}
}

std::optional<std::string_view> decode_ident(Bytes field)
{
	auto const ident = decode_name(field);
	if (!ident) return {};
	auto const zero = [](uint8_t byte) { return byte == 0; };
	if (!std::ranges::all_of(field.subspan(ident->size()), zero)) return {};
	return ident;
}

/* A name that goes on up to the end of the message, with its NUL. */
std::optional<std::string_view> decode_last_name(Bytes from)
{
	auto const name = decode_name(from);
	if (!name || name->size() + 1 != from.size()) return {};
	return name;
}

} // namespace

bool permitted(Direction direction, uint32_t version, Header header)
{
	return sizes_of(direction, version, static_cast<Type>(header.type)).has(header.size);
}

std::optional<uint32_t> common_version(uint32_t ours, uint32_t theirs)
{
	uint32_t const version = std::min(ours, theirs);
	if (version < VERSION_MIN) return {};
	return version;
}

void encode(Header header, std::span<uint8_t, Header::BYTES> to)
{
	store_le<uint32_t>(to.first<4>(), header.type);
	store_le<uint32_t>(to.last<4>(), header.size);
}

Header decode_header(Bytes from) { return {decode_number(from), decode_number(from.subspan(4))}; }

void encode(Exec_params params, std::span<uint8_t, Exec_params::BYTES> to)
{
	store_le<uint32_t>(to.first<4>(), params.domain);
	store_le<uint32_t>(to.last<4>(), params.port);
}

Exec_params decode_exec_params(Bytes from)
{
	return {decode_number(from), decode_number(from.subspan(4))};
}

void encode_number(uint32_t number, std::span<uint8_t, 4> to) { store_le<uint32_t>(to, number); }

uint32_t decode_number(Bytes from)
{
	BULKHEAD_ASSERT(from.size() >= 4);
	return load_le<uint32_t>(from.first<4>());
}

std::optional<std::string_view> decode_name(Bytes field)
{
	auto const end = std::ranges::find(field, uint8_t{0});
	if (end == field.end()) return {};
	return text_of(field.first(static_cast<size_t>(end - field.begin())));
}

bool encode_name(std::string_view name, Mutable_bytes field)
{
	if (name.size() >= field.size() || name.find('\0') != name.npos) return false;
	copy_bytes(field, bytes_of(name));
	fill_bytes(field.subspan(name.size()), 0);
	return true;
}

std::optional<Trigger> decode_trigger(Type type, Bytes body)
{
	Byte_reader reader{body};
	std::optional<std::string_view> source = std::string_view(), target, ident, service;
	switch (type) {
	case Type::TRIGGER_SERVICE:
		service = decode_name(reader.bytes(64));
		target = decode_name(reader.bytes(32));
		ident = decode_ident(reader.bytes(IDENT_BYTES));
		if (!reader.complete()) return {};
		break;
	case Type::TRIGGER_SERVICE4:
		source = decode_name(reader.bytes(DOMAIN_NAME_BYTES));
		[[fallthrough]];
	case Type::TRIGGER_SERVICE3:
		target = decode_name(reader.bytes(DOMAIN_NAME_BYTES));
		ident = decode_ident(reader.bytes(IDENT_BYTES));
		service = decode_last_name(reader.rest());
		break;
	default: return {};
	}
	if (!source || !target || !ident || !service) return {};
	if (service->empty() || service->front() == '+') return {};
	return Trigger{.source = *source, .target = *target, .ident = *ident, .service = *service};
}

std::span<uint8_t const, IDENT_BYTES> trigger_ident(Type type, Bytes body)
{
	BULKHEAD_ASSERT(body.size() >= trigger_bytes(type));
	return body.first(trigger_bytes(type)).last<IDENT_BYTES>();
}

size_t encode_trigger(uint32_t version, Trigger const &trigger, Mutable_bytes to)
{
	if (version < VERSION_MIN || trigger.service.empty() || trigger.service.front() == '+')
		return 0;
	Type const type = version == 2 ? Type::TRIGGER_SERVICE
		: version == 3             ? Type::TRIGGER_SERVICE3
								   : Type::TRIGGER_SERVICE4;
	size_t const name_bytes = type == Type::TRIGGER_SERVICE ? 0 : trigger.service.size() + 1;
	size_t const body_bytes = trigger_bytes(type) + name_bytes;
	if (name_bytes > SERVICE_MAX || to.size() < Header::BYTES + body_bytes) return 0;

	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(body_bytes)},
		to.first<Header::BYTES>());
	Mutable_bytes body = to.subspan(Header::BYTES, body_bytes);
	auto const put = [&](std::string_view name, size_t bytes) {
		bool const fits = encode_name(name, body.first(bytes));
		body = body.subspan(bytes);
		return fits;
	};

	bool fits = true;
	if (type == Type::TRIGGER_SERVICE)
		fits = put(trigger.service, 64) && put(trigger.target, 32);
	else if (type == Type::TRIGGER_SERVICE3)
		fits = put(trigger.target, DOMAIN_NAME_BYTES);
	else
		fits = put(trigger.source, DOMAIN_NAME_BYTES) && put(trigger.target, DOMAIN_NAME_BYTES);
	fits = fits && put(trigger.ident, IDENT_BYTES);
	if (name_bytes) fits = fits && put(trigger.service, name_bytes);
	return fits ? Header::BYTES + body_bytes : 0;
}

} // namespace bulkhead::qrexec
