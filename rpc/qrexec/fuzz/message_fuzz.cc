// A stream of messages in any direction, triggers among them: the reader yields what a plain walk
// over the whole stream does, in whatever pieces it comes. Input: direction, own version, buffer,
// seed of the pieces, stream.

#include "rpc/qrexec/fuzz/support.h"
#include "rpc/qrexec/message_reader.h"

#include <vector>

namespace bulkhead::qrexec::fuzz {
namespace {

struct Found
{
	Type type;
	std::vector<uint8_t> body;

	bool operator==(Found const &) const = default;
};

struct Outcome
{
	std::vector<Found> messages{};
	std::optional<Stream_fault> fault{};
	uint32_t version = 0;
	bool within = false;

	bool operator==(Outcome const &) const = default;
};

struct Setting
{
	Direction direction;
	uint32_t own_version;
	size_t buffer;
};

/* What a header means to a reader that has agreed on `version`. */
std::optional<Stream_fault> fault_of(Setting const &setting, uint32_t version, Header header)
{
	bool const hello = header.type == static_cast<uint32_t>(Type::HELLO);
	if (version == 0 && !hello) return Stream_fault::NO_HELLO;
	if (!permitted(setting.direction, version, header)) return Stream_fault::NOT_PERMITTED;
	if (version != 0 && hello) return Stream_fault::SECOND_HELLO;
	if (Header::BYTES + size_t(header.size) > setting.buffer) return Stream_fault::TOO_LONG;
	return {};
}

Outcome walk(Setting const &setting, Bytes stream)
{
	Outcome outcome;
	if (setting.direction == Direction::PROGRAM_TO_AGENT) outcome.version = setting.own_version;
	while (stream.size() >= Header::BYTES) {
		Header const header = decode_header(stream);
		outcome.fault = fault_of(setting, outcome.version, header);
		if (outcome.fault) return outcome;
		if (stream.size() - Header::BYTES < header.size) break;
		Bytes const body = stream.subspan(Header::BYTES, header.size);
		if (static_cast<Type>(header.type) == Type::HELLO) {
			auto const version = common_version(setting.own_version, decode_number(body));
			if (!version) {
				outcome.fault = Stream_fault::OLD_VERSION;
				return outcome;
			}
			outcome.version = *version;
		}
		outcome.messages.push_back({static_cast<Type>(header.type), {body.begin(), body.end()}});
		stream = stream.subspan(Header::BYTES + body.size());
	}
	outcome.within = !stream.empty();
	return outcome;
}

Outcome read(Setting const &setting, Bytes stream, Sizes sizes)
{
	std::vector<uint8_t> memory(setting.buffer);
	Message_reader reader{memory, setting.direction, setting.own_version};
	Outcome outcome{.version = reader.version()};
	while (!stream.empty()) {
		Bytes piece = stream.first(sizes.next(stream.size()));
		stream = stream.subspan(piece.size());
		for (;;) {
			auto const message = reader.read(piece);
			outcome.version = reader.version();
			if (!message.ok()) {
				outcome.fault = message.error();
				demand(!name_of(*outcome.fault).empty());
				return outcome;
			}
			if (!message.value()) break;
			Bytes const body = message.value()->body;
			outcome.messages.push_back({message.value()->type, {body.begin(), body.end()}});
		}
		demand(piece.empty());
	}
	outcome.within = reader.within_message();
	return outcome;
}

uint32_t version_of(Type type)
{
	switch (type) {
	case Type::TRIGGER_SERVICE: return 2;
	case Type::TRIGGER_SERVICE3: return 3;
	default: return 4;
	}
}

/* A trigger that can be decoded, encoded and decoded again is the same. */
void look_at_trigger(Found const &message)
{
	demand(trigger_ident(message.type, message.body).size() == IDENT_BYTES);
	auto const trigger = decode_trigger(message.type, message.body);
	if (!trigger) return;
	std::vector<uint8_t> memory(Header::BYTES + TRIGGER4_BYTES + SERVICE_MAX);
	size_t const size = encode_trigger(version_of(message.type), *trigger, memory);
	demand(size == Header::BYTES + message.body.size());
	Header const header = decode_header(memory);
	demand(header.type == static_cast<uint32_t>(message.type));
	demand(header.size == message.body.size());
	auto const again = decode_trigger(message.type, std::span(memory).subspan(8, header.size));
	demand(again && again->source == trigger->source && again->target == trigger->target);
	demand(again->ident == trigger->ident && again->service == trigger->service);
	demand(!trigger->service.empty() && trigger->service.find('\0') == std::string_view::npos);
}

void look_at(Outcome const &outcome)
{
	for (Found const &message : outcome.messages) switch (message.type) {
		case Type::TRIGGER_SERVICE:
		case Type::TRIGGER_SERVICE3:
		case Type::TRIGGER_SERVICE4: look_at_trigger(message); break;
		default: break;
		}
}

} // namespace
} // namespace bulkhead::qrexec::fuzz

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::qrexec;
	Bytes input(data, size);
	fuzz::Setting setting{};
	setting.direction = static_cast<Direction>(fuzz::take_choice(input) % 7);
	setting.own_version = VERSION_MIN + fuzz::take_choice(input) % 3;
	setting.buffer = fuzz::take_choice(input) % 2 ? 256 : 80000;
	fuzz::Sizes const sizes{fuzz::take_choice(input)};
	fuzz::Outcome const outcome = fuzz::walk(setting, input);
	fuzz::demand(fuzz::read(setting, input, sizes) == outcome);
	fuzz::look_at(outcome);
	return 0;
}
