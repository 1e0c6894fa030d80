#include "base/error.h"
#include "domain/broker/broker.h"

namespace bulkhead::domain {

void Broker::_answer(Operator &to, Answer const &answer, With with)
{
	std::array<uint8_t, 4> error;
	qrexec::encode_number(static_cast<uint32_t>(answer.error), error);
	Bytes const text = bytes_of(std::string_view(answer.text).substr(0, PACKET_MAX / 2));
	to.asked.reset();
	Sent const sent = _send(to.id, static_cast<uint32_t>(Admin::DONE), {error, text}, with);
	if (sent == Sent::OK) return;
	if (sent == Sent::FULL || with == With::NOTHING)
		return broken(to.id, "it doesn't read its answers");
	_answer(to, {errno_of(Error::OUT_OF_MEMORY), "memory or descriptors are lacking"});
}

void Broker::_admin(Operator &from, Admin what, Bytes body)
{
	bool const named = what == Admin::START || what == Admin::STOP || what == Admin::RESTART;
	if (from.asked) return broken(from.id, "it has asked again before it was answered");
	if (!named && !body.empty()) return broken(from.id, "it has asked for what there isn't");
	Party const about = id_of(text_of(body));
	if (named && !about)
		return _answer(from, {errno_of(Error::NOT_FOUND), "there is no such domain"});
	Domain *const domain = named ? &_by_id.at(about) : nullptr;
	from.about = about;
	from.failures = named ? domain->failures : 0;
	from.asked = what;
	_wake(0);
	switch (what) {
	case Admin::STATUS: return _answer(from, {}, With::STATUS);
	case Admin::RELOAD: return _answer(from, _host.reload());
	case Admin::SHUT_DOWN: return shut_down();
	case Admin::START: return _want(*domain, true);
	case Admin::STOP: return _stop(*domain, State::STOPPED);
	case Admin::RESTART: return _stop(*domain, State::WAITING);
	default: return broken(from.id, "it has asked for what there isn't");
	}
}

/* Whether what was asked for has happened, or can't. */
std::optional<Answer> Broker::_outcome(Operator const &of) const
{
	std::optional<Answer> const done{Answer{}};
	if (!of.asked) return {};
	if (of.asked == Admin::SHUT_DOWN) return _at_rest() ? done : std::nullopt;
	Domain const *const domain = find(of.about);
	if (!domain) return done;
	if (of.asked == Admin::STOP) return domain->at_rest() ? done : std::nullopt;
	if (domain->state == State::RUNNING) return done;
	if (!domain->at_rest() && domain->failures == of.failures) return {};
	return Answer{errno_of(Error::IO), domain->last_end + domain->advice};
}

void Broker::_answer_operators()
{
	std::vector<Party> parties;
	for (auto const &[party, from] : _operators) parties.push_back(party);
	for (Party const party : parties) {
		Operator &from = _operators.at(party);
		if (auto const answer = _outcome(from)) _answer(from, *answer);
	}
}

} // namespace bulkhead::domain
