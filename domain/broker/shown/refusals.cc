#include "domain/broker/shown/refusals.h"

#include "rpc/qrexec/name.h"

#include <algorithm>

namespace bulkhead::domain {
namespace {

/* Some lines a second of each caller, so that nobody fills the log. */
std::vector<std::string> lines_of(Refused const &refused, Refusal_lines &lines, uint64_t now_us)
{
	if (now_us - lines.since_us >= 1'000'000) lines = {.since_us = now_us, .count = 0};
	if (++lines.count > REFUSAL_LINES_MAX) return {};
	std::string const target = refused.target.empty() ? "@default" : refused.target;
	std::vector<std::string> said{
		refused.caller + ": refused " + refused.service + " at " + target + ": " + refused.reason};
	if (lines.count == REFUSAL_LINES_MAX)
		said.push_back(refused.caller + ": refusals go on; the status counts them");
	return said;
}

} // namespace

std::vector<std::string> Refusals::add(Refused refused, Refusal_lines &lines, uint64_t now_us)
{
	for (std::string *const name : {&refused.target, &refused.service}) {
		name->resize(std::min(name->size(), NAME_SHOWN_MAX));
		qrexec::sanitize(*name, "+@:");
	}
	auto const same = [&](Refused const &other) { return other == refused; };
	auto const own = [&](Refused const &other) { return other.caller == refused.caller; };
	Refusal refusal{refused, 1, now_us};
	auto place = std::ranges::find_if(_all, same);
	if (place != _all.end())
		refusal.count += place->count;
	else if (std::ranges::count_if(_all, own) >= REFUSALS_OF_ONE)
		place = std::ranges::find_if(_all, own);
	else if (_all.size() >= REFUSALS_MAX)
		place = _all.begin();
	if (place != _all.end()) _all.erase(place);
	_all.push_back(std::move(refusal));
	return lines_of(refused, lines, now_us);
}

} // namespace bulkhead::domain
