#include "domain/broker/broker.h"
#include "rpc/qrexec/name.h"

namespace bulkhead::domain {

using namespace qrexec;

namespace {

/* What a domain has sent, harmless and short. */
std::string shown(std::string_view name)
{
	std::string text(name.substr(0, NAME_SHOWN_MAX));
	sanitize(text, "+@:");
	return text;
}

} // namespace

/* Tells the caller no more than that; the operator gets to know why. */
void Broker::_refuse(Member &caller, Bytes ident, std::string_view target, std::string_view service,
	std::string const &reason)
{
	++caller.calls_refused;
	_remember(caller,
		{.caller = caller.name,
			.target = shown(target),
			.service = shown(service),
			.reason = reason,
			.count = 1,
			.last_us = _now_us});
	if (_send(caller.id, Type::SERVICE_REFUSED, {ident}) != Sent::OK)
		broken(caller.id, "it doesn't read the answers to its calls");
}

/* Nobody's refusals hide those of others: neither in the list nor in the log. */
void Broker::_remember(Member &caller, Refusal refusal)
{
	if (_now_us - caller.lines_since_us >= 1'000'000) {
		if (caller.lines > REFUSAL_LINES_MAX)
			_host.log(Level::WARNING,
				caller.name + ": refused " + std::to_string(caller.lines - REFUSAL_LINES_MAX) +
					" more calls");
		caller.lines_since_us = _now_us;
		caller.lines = 0;
	}
	if (++caller.lines <= REFUSAL_LINES_MAX)
		_host.log(Level::WARNING,
			caller.name + ": refused " + refusal.service + " at " +
				(refusal.target.empty() ? "@default" : refusal.target) + ": " + refusal.reason);

	auto const same = std::ranges::find_if(_refusals, [&](Refusal const &other) {
		return other.caller == refusal.caller && other.target == refusal.target &&
			other.service == refusal.service && other.reason == refusal.reason;
	});
	if (same != _refusals.end()) {
		refusal.count += same->count;
		_refusals.erase(same);
	} else if (_refusals.size() >= REFUSALS_MAX) {
		auto const of = [](std::string const &name) {
			return [&](Refusal const &other) { return other.caller == name; };
		};
		auto const own = static_cast<size_t>(std::ranges::count_if(_refusals, of(caller.name)));
		auto const oldest = std::ranges::find_if(_refusals, of(caller.name));
		_refusals.erase(own >= REFUSALS_OF_ONE ? oldest : _refusals.begin());
	}
	_refusals.push_back(std::move(refusal));
}

} // namespace bulkhead::domain
