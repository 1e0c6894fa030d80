#include "domain/broker/broker.h"
#include "rpc/qrexec/name.h"

namespace bulkhead::domain {

/* Tells the caller no more than that; the operator gets to know why. */
void Broker::_refuse(Member &caller, Bytes ident, Refused refused)
{
	++caller.calls_refused;
	for (std::string *const name : {&refused.target, &refused.service}) {
		name->resize(std::min(name->size(), NAME_SHOWN_MAX));
		qrexec::sanitize(*name, "+@:");
	}
	_log(caller, refused);
	auto const same = [&](Refused const &other) { return other == refused; };
	auto const own = [&](Refused const &other) { return other.caller == refused.caller; };
	Refusal refusal{refused, 1, _now_us};
	auto place = std::ranges::find_if(_refusals, same);
	if (place != _refusals.end())
		refusal.count += place->count;
	else if (std::ranges::count_if(_refusals, own) >= REFUSALS_OF_ONE)
		place = std::ranges::find_if(_refusals, own);
	else if (_refusals.size() >= REFUSALS_MAX)
		place = _refusals.begin();
	if (place != _refusals.end()) _refusals.erase(place);
	_refusals.push_back(std::move(refusal));
	auto const type = static_cast<uint32_t>(qrexec::Type::SERVICE_REFUSED);
	if (_send(caller.id, type, {ident}) != Sent::OK)
		broken(caller.id, "it doesn't read the answers to its calls");
}

/* Some lines a second of each caller, so that nobody fills the log. */
void Broker::_log(Member &caller, Refused const &refused)
{
	if (_now_us - caller.lines_since_us >= 1'000'000) {
		caller.lines_since_us = _now_us;
		caller.lines = 0;
	}
	if (++caller.lines <= REFUSAL_LINES_MAX)
		_host.log(Level::WARNING,
			caller.name + ": refused " + refused.service + " at " +
				(refused.target.empty() ? "@default" : refused.target) + ": " + refused.reason);
	if (caller.lines == REFUSAL_LINES_MAX)
		_host.log(Level::WARNING, caller.name + ": refusals go on; the status counts them");
}

} // namespace bulkhead::domain
