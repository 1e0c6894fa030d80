#include "base/error.h"
#include "domain/broker/broker.h"

namespace bulkhead::domain {

namespace {

Answer refused(Error error, std::string text) { return {errno_of(error), std::move(text)}; }

} // namespace

void Broker::_done(Operator &to, Answer const &answer)
{
	std::array<uint8_t, 4> error;
	qrexec::encode_number(static_cast<uint32_t>(answer.error), error);
	std::string_view const text = std::string_view(answer.text).substr(0, PACKET_MAX / 2);
	to.waits = false;
	qrexec::Type const done{static_cast<uint32_t>(Admin::DONE)};
	if (_send(to.id, done, {error, bytes_of(text)}) != Sent::OK)
		broken(to.id, "it doesn't read its answers");
}

void Broker::_admin(Operator &from, Admin what, Bytes body)
{
	if (from.waits) return broken(from.id, "it has asked again before it was answered");
	bool const named = what == Admin::START || what == Admin::STOP || what == Admin::RESTART;
	bool const plain = what == Admin::STATUS || what == Admin::RELOAD || what == Admin::SHUT_DOWN;
	if (!named && !(plain && body.empty()))
		return broken(from.id, "it has asked for what there isn't");
	if (what == Admin::STATUS) return _show(from);
	if (what == Admin::RELOAD) return _done(from, _host.reload());
	from.asked = what;
	if (what == Admin::SHUT_DOWN) {
		shut_down();
	} else {
		Domain *const domain = find(id_of(text_of(body)));
		if (!domain) return _done(from, refused(Error::NOT_FOUND, "there is no such domain"));
		from.about = domain->id;
		from.failures = domain->failures;
		if (what == Admin::START)
			_want(*domain, true);
		else
			_stop(*domain, what == Admin::STOP ? State::STOPPED : State::WAITING);
	}
	from.waits = true;
	_wake(0);
}

void Broker::_show(Operator &to)
{
	std::array<uint8_t, 4> const none{};
	qrexec::Type const done{static_cast<uint32_t>(Admin::DONE)};
	Sent const sent = _send(to.id, done, {none}, With::STATUS);
	if (sent == Sent::FULL) return broken(to.id, "it doesn't read its answers");
	if (sent == Sent::FAILED)
		_done(to, refused(Error::OUT_OF_MEMORY, "memory or descriptors are lacking"));
}

/* Whether what was asked for has happened, or can't. */
std::optional<Answer> Broker::_outcome(Operator const &of) const
{
	std::optional<Answer> const done{Answer{}};
	if (of.asked == Admin::SHUT_DOWN) return _at_rest() ? done : std::nullopt;
	Domain const *const domain = find(of.about);
	if (!domain) return done;
	if (of.asked == Admin::STOP) return domain->at_rest() ? done : std::nullopt;
	if (domain->state == State::RUNNING) return done;
	if (!domain->at_rest() && domain->failures == of.failures) return {};
	return refused(Error::IO, domain->last_end);
}

void Broker::_answer_operators()
{
	std::vector<std::pair<Party, Answer>> answers;
	for (auto const &[party, from] : _operators)
		if (auto answer = from.waits ? _outcome(from) : std::nullopt)
			answers.emplace_back(party, std::move(*answer));
	for (auto const &[party, answer] : answers) _done(_operators.at(party), answer);
}

} // namespace bulkhead::domain
