#include "component/qrexec/agent/handover.h"

#include <algorithm>

using namespace bulkhead::qrexec;

// However the bytes are cut, the outcome is the same, and what is whole can be resolved.
extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	std::string_view const all{reinterpret_cast<char const *>(data), size};
	auto const read = [&](size_t step, std::unique_ptr<Service_request> &request) {
		Handover_reader reader;
		auto outcome = Handover_reader::Outcome::MORE;
		for (size_t at = 0; at < all.size() && outcome == Handover_reader::Outcome::MORE;) {
			std::string_view const piece = all.substr(at, std::min(step, reader.wanted()));
			outcome = reader.add(piece);
			at += piece.size();
		}
		if (outcome == Handover_reader::Outcome::WHOLE) request = reader.request();
		return outcome;
	};
	std::unique_ptr<Service_request> at_once, in_bytes;
	if (read(all.size(), at_once) != read(1, in_bytes)) __builtin_trap();
	if (!at_once) return 0;
	if (at_once->line != in_bytes->line || at_once->params != in_bytes->params) __builtin_trap();
	at_once->resolve(Places{"/nonexistent", "/nonexistent"}, false);
	at_once->line = "user:" + at_once->line;
	if (handover_of(*at_once) != std::string(all.substr(0, handover_of(*at_once).size())))
		__builtin_trap();
	return 0;
}
