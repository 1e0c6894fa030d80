#include "sdk/component/asked_calls.h"

#include <array>
#include <charconv>

namespace bulkhead::component {

using linux_host::Channel_end;
using qrexec::Exec_params;

uint64_t Asked_calls::ask(Asker &asker)
{
	_asked.emplace(++_last, &asker);
	if (_may_ask) _send(_last, asker);
	return _last;
}

void Asked_calls::_send(uint64_t ident, Asker &asker)
{
	if (!possible(asker)) return;
	std::array<char, 24> text;
	auto const end = std::to_chars(text.data(), text.data() + text.size(), ident);
	_gate.ask({text.data(), end.ptr}, asker.target, asker.service);
}

void Asked_calls::ask_all()
{
	_may_ask = true;
	for (auto const &[ident, asker] : _asked) _send(ident, *asker);
}

Asker *Asked_calls::_take(std::string_view ident)
{
	uint64_t number = 0;
	auto const read = std::from_chars(ident.data(), ident.data() + ident.size(), number);
	if (read.ec != std::errc() || read.ptr != ident.data() + ident.size()) return nullptr;
	auto const node = _asked.extract(number);
	return node ? node.mapped() : nullptr;
}

void Asked_calls::connected(std::string_view ident, Exec_params call, Channel_end end)
{
	Asker *const asker = _take(ident);
	if (!asker) return _gate.tell_end(call); // who had asked has given up
	if (end.memory) return asker->answered(std::move(end), call);
	_gate.tell_end(call);
	asker->answered(Error::TOO_MANY_OPEN, call);
}

void Asked_calls::refused(std::string_view ident)
{
	if (Asker *const asker = _take(ident)) asker->answered(Error::DENIED, {});
}

bool Asked_calls::possible(Asker const &asker)
{
	std::string_view const service = asker.service;
	if (asker.target.empty() || asker.target.size() >= qrexec::DOMAIN_NAME_BYTES) return false;
	if (service.empty() || service.size() > qrexec::SERVICE_NAME_MAX) return false;
	return service.front() != '+' && service.find('\0') == service.npos &&
		asker.target.find('\0') == asker.target.npos;
}

void Asked_calls::fail_impossible()
{
	for (auto at = _asked.begin(); at != _asked.end();) {
		Asker &asker = *at->second;
		at = possible(asker) ? std::next(at) : _asked.erase(at);
		if (!possible(asker)) asker.answered(Error::INVALID, {});
	}
}

void Asked_calls::fail_all(Error error)
{
	while (!_asked.empty()) {
		auto const node = _asked.extract(_asked.begin());
		node.mapped()->answered(error, {});
	}
}

} // namespace bulkhead::component
