// One direction of a data connection: the reader's events are those of a plain walk over the whole
// stream, in whatever pieces it comes and however much is taken at once. Input: direction, seed of
// the pieces, seed of what is taken, stream.

#include "rpc/qrexec/data_reader.h"
#include "rpc/qrexec/fuzz/support.h"

#include <array>
#include <vector>

namespace bulkhead::qrexec::fuzz {
namespace {

struct Outcome
{
	std::array<std::vector<uint8_t>, 3> bytes{};
	std::array<bool, 3> ended{};
	std::vector<unsigned> order{}; // of the ends, of streams in bytes
	std::optional<int32_t> exit_code{};
	uint32_t version = 0;
	std::optional<Stream_fault> fault{};

	bool operator==(Outcome const &) const = default;
};

constexpr uint32_t HELLO_TYPE = 0x300;
constexpr uint32_t EXIT_TYPE = 0x193;

/* Bytes or the end of a stream; notes which stream came in which order. */
std::optional<Stream_fault> walk_chunk(Outcome &outcome, unsigned stream, Header header, Bytes rest)
{
	if (header.size == 0) {
		if (!outcome.ended[stream]) outcome.order.push_back(10 + stream);
		outcome.ended[stream] = true;
		return {};
	}
	if (outcome.ended[stream]) return Stream_fault::NOT_PERMITTED;
	Bytes const bytes = rest.first(std::min<size_t>(header.size, rest.size()));
	if (!bytes.empty() && (outcome.order.empty() || outcome.order.back() != stream))
		outcome.order.push_back(stream);
	outcome.bytes[stream].insert(outcome.bytes[stream].end(), bytes.begin(), bytes.end());
	return {};
}

Outcome walk(Direction direction, Bytes rest)
{
	Outcome outcome;
	while (!rest.empty()) {
		if (outcome.exit_code) {
			outcome.fault = Stream_fault::NOT_PERMITTED;
			return outcome;
		}
		if (rest.size() < Header::BYTES) return outcome;
		Header const header = decode_header(rest);
		rest = rest.subspan(Header::BYTES);
		if (outcome.version == 0 && header.type != HELLO_TYPE)
			outcome.fault = Stream_fault::NO_HELLO;
		else if (!permitted(direction, outcome.version, header))
			outcome.fault = Stream_fault::NOT_PERMITTED;
		else if (outcome.version != 0 && header.type == HELLO_TYPE)
			outcome.fault = Stream_fault::SECOND_HELLO;
		else if (header.type != HELLO_TYPE && header.type != EXIT_TYPE)
			outcome.fault = walk_chunk(outcome, header.type - 0x190, header, rest);
		if (outcome.fault || rest.size() < header.size) return outcome;
		if (header.type == EXIT_TYPE) outcome.exit_code = static_cast<int32_t>(decode_number(rest));
		if (header.type == HELLO_TYPE) {
			uint32_t const version = std::min(VERSION, decode_number(rest));
			if (version < VERSION_MIN) {
				outcome.fault = Stream_fault::OLD_VERSION;
				return outcome;
			}
			outcome.version = version;
		}
		rest = rest.subspan(header.size);
	}
	return outcome;
}

void note(Outcome &outcome, Data_reader::Event const &event, Bytes taken)
{
	unsigned const stream = unsigned(event.stream);
	switch (event.kind) {
	case Data_reader::Kind::MORE: break;
	case Data_reader::Kind::HELLO: demand(outcome.version == 0); break;
	case Data_reader::Kind::END:
		demand(!outcome.ended[stream]);
		outcome.ended[stream] = true;
		outcome.order.push_back(10 + stream);
		break;
	case Data_reader::Kind::EXIT_CODE: outcome.exit_code = event.exit_code; break;
	case Data_reader::Kind::BYTES:
		if (outcome.order.empty() || outcome.order.back() != stream)
			outcome.order.push_back(stream);
		outcome.bytes[stream].insert(outcome.bytes[stream].end(), taken.begin(), taken.end());
	}
}

Outcome read(Direction direction, Bytes stream, Sizes pieces, Sizes takes)
{
	Data_reader reader{direction};
	Outcome outcome;
	while (!stream.empty()) {
		Bytes piece = stream.first(pieces.next(stream.size()));
		stream = stream.subspan(piece.size());
		for (;;) {
			auto const next = reader.next(piece);
			if (!next.ok()) {
				outcome.fault = next.error();
				return outcome;
			}
			Data_reader::Event const &event = next.value();
			demand((event.kind == Data_reader::Kind::BYTES) == (event.bytes != 0));
			demand(event.bytes <= piece.size() && event.bytes <= reader.chunk_max());
			if (event.kind == Data_reader::Kind::MORE) break;
			size_t const taken = event.bytes ? takes.next(event.bytes) : 0;
			note(outcome, event, piece.first(taken));
			outcome.version = reader.version();
			reader.take(taken);
			piece = piece.subspan(taken);
			demand(reader.exited() == outcome.exit_code.has_value());
			demand(reader.ended(event.stream) == outcome.ended[unsigned(event.stream)]);
		}
		demand(piece.empty());
	}
	return outcome;
}

} // namespace
} // namespace bulkhead::qrexec::fuzz

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::qrexec;
	Bytes input(data, size);
	Direction const direction =
		fuzz::take_choice(input) % 2 ? Direction::CALLER_TO_SERVICE : Direction::SERVICE_TO_CALLER;
	fuzz::Sizes const pieces{fuzz::take_choice(input)};
	fuzz::Sizes const takes{fuzz::take_choice(input)};
	fuzz::demand(fuzz::read(direction, input, pieces, takes) == fuzz::walk(direction, input));
	return 0;
}
