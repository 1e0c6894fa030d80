#include "component/qrexec/policy_daemon/question.h"

#include "component/qrexec/policy_daemon/journal.h"
#include "rpc/policy/text/verdict_text.h"
#include "rpc/qrexec/policy_query.h"

namespace bulkhead::qrexec {

using policy::Action;
using policy::Call_fault;
using policy::Denial;
using policy::Destination;

namespace {

constexpr std::string_view DENY = "result=deny";
constexpr std::string_view JUST_ALLOW = "result=allow";

/* `/etc/qubes/policy.d/30-user.policy:5` */
std::string place_of(policy::Policy const &policy, uint32_t rule)
{
	if (rule == policy::NONE) return "?";
	policy::Place const place = policy.rules()[rule].place;
	return std::string(policy.file_name(place.file)) + ':' + std::to_string(place.line);
}

/* The first fault, as all are in the journal since the policy was loaded. */
std::string first_fault(policy::Policy const &policy)
{
	policy::Place const place = policy.faults()[0].place;
	if (place.file == policy::NONE) return "there are faults, named when it was loaded";
	return std::string(policy.file_name(place.file)) + ':' + std::to_string(place.line);
}

} // namespace

Question::Question(Office &office, Asker &asker, Asked asked)
	: _office(office), _asker(asker), _asked(std::move(asked))
{}

Question::~Question()
{
	_office.system.forget(*this);
	_uncount();
}

policy::Request Question::_request() const
{
	return {_asked.service, _asked.argument, _asked.source, _asked.target, _asked.requested_source};
}

void Question::_log(Level level, std::string const &what) const
{
	_office.journal.log(level,
		"qrexec: " + printable(_asked.as_written) + ": " + printable(_asked.source) + " -> " +
			printable(_asked.target) + ": " + printable(what));
}

void Question::begin()
{
	if (_office.system.fresh())
		system_known();
	else
		_office.system.wait(*this);
}

void Question::system_known()
{
	policy::Asker *const asker = _office.setting.asker();
	if (!asker) {
		_log(Level::ERROR,
			_office.setting.policy() ? "error getting system info: " + _office.setting.trouble()
									 : "error loading policy: out of memory");
		return _asker.answered(DENY);
	}
	if (!_permitted()) {
		_office.journal.log(Level::WARNING,
			"policy.EvalGUI: " + printable(_asked.gui_domain) +
				" isn't the GUI domain of both source and target");
		return _asker.answered({});
	}
	_decide(*asker);
}

bool Question::_permitted() const
{
	if (_asked.gui_domain.empty()) return true;
	policy::System const &system = *_office.setting.info().system;
	std::string const tag = "guivm-" + _asked.gui_domain;
	for (std::string const &name : {_asked.source, _asked.target}) {
		uint32_t const number = system.find(name);
		if (number == policy::NONE) return false;
		policy::Domain const &domain = system.domains()[number];
		if (!domain.exists || !domain.tagged(tag)) return false;
	}
	return true;
}

void Question::_decide(policy::Asker &asker)
{
	policy::Request const request = _request();
	policy::Verdict verdict = _chosen ? asker.answer(request, *_chosen) : asker.evaluate(request);
	if (verdict.action == Action::ASK && _asked.assume_yes)
		verdict = asker.answer(request, text_of(asker, verdict.requested));
	_remember(asker, verdict);
	switch (verdict.action) {
	case Action::DENY: return _denied(asker, verdict);
	case Action::ALLOW: return _allow(asker, verdict);
	case Action::ASK: break;
	}
	if (_asked.just_evaluate) return _asker.answered(DENY);
	_ask(asker, verdict);
}

void Question::_remember(policy::Asker const &asker, policy::Verdict const &verdict)
{
	System_info const &info = _office.setting.info();
	_place = place_of(asker.policy(), verdict.rule);
	_gui_domain = info.face(verdict.source).gui_domain;
	_source_name = info.name(verdict.source);
	_notify = verdict.notify;
}

void Question::_denied(policy::Asker &asker, policy::Verdict const &verdict)
{
	switch (verdict.denial) {
	case Denial::RULE: return _refuse("denied by policy " + _place, verdict.notify);
	case Denial::NO_RULE: return _refuse("no matching rule found", verdict.notify);
	case Denial::BROKEN_POLICY:
		_log(Level::ERROR, "error loading policy: " + first_fault(asker.policy()));
		return _asker.answered(DENY);
	case Denial::NOT_OFFERED:
		return _refuse("target " + printable(_chosen ? *_chosen : _asked.target, 64) +
				" is not a valid choice",
			verdict.notify);
	default: break;
	}
	std::string why(name_of(verdict.denial));
	if (verdict.rule != policy::NONE) why += " (" + _place + ')';
	_refuse(why, verdict.notify);
}

void Question::_refuse(std::string const &why, bool notify)
{
	_log(Level::INFO, "denied: " + why);
	if (notify && !_asked.just_evaluate)
		_office.notifier.notify(_gui_domain, _asked.source,
			notice_text("deny", _request(), _source_name, _asked.target));
	_asker.answered(DENY);
}

void Question::_allow(policy::Asker &asker, policy::Verdict const &verdict)
{
	if (_asked.just_evaluate) return _asker.answered(JUST_ALLOW);
	Call_fault fault = asker.call_fault(verdict);
	// A RemoteVM's call to itself would still have to be relayed.
	if (fault == Call_fault::LOOPBACK && _office.options.calls_within_domain &&
		!asker.system().domains()[verdict.source].remote())
		fault = Call_fault::OK;
	if (fault == Call_fault::LOOPBACK)
		return _refuse("loopback qrexec connection not supported", true);
	if (fault != Call_fault::OK) return _refuse(std::string(name_of(fault)), true);
	char text[POLICY_ANSWER_MAX];
	Text_writer writer{std::span<char>(text)};
	asker.write_response(writer, _request(), verdict);
	if (writer.cut()) return _refuse("the answer is longer than a daemon reads", true);
	std::string const target = text_of(asker, verdict.target);
	_office.journal.log(Level::INFO,
		"qrexec: " + printable(_asked.service) + printable(_asked.argument) + ": " +
			printable(_asked.source) + " -> " + text_of(asker, verdict.requested) +
			": allowed to " + target);
	if (verdict.notify)
		_office.notifier.notify(
			_gui_domain, _asked.source, notice_text("allow", _request(), _source_name, target));
	_asker.answered(writer.text());
}

void Question::_ask(policy::Asker &asker, policy::Verdict const &verdict)
{
	if (_gui_domain.empty()) return _refuse("ask: the source has no GUI domain", _notify);
	// By who called, so that a relay's calls for others count as its own.
	if (!_counted && !_office.begin_asking(_asked.source))
		return _refuse("ask: too many questions are open", false);
	_counted = true;
	Service_call::Finished &me = *this;
	_call.emplace(_office.loop, _office.children, me);
	std::string const trouble = _call->start(_office.options.ways, _gui_domain, "policy.Ask",
		question_text(_office.setting.info(), asker, _request(), verdict));
	if (trouble.empty()) return;
	_call.reset();
	_refuse("ask: nobody can be asked at " + _gui_domain + ": " + trouble, _notify);
}

void Question::_uncount()
{
	if (std::exchange(_counted, false)) _office.end_asking(_asked.source);
}

void Question::call_finished(std::string_view answer, std::string const &trouble)
{
	Reply const reply = parse_reply(answer);
	std::string chosen(reply.target);
	std::string const shown = printable(answer, 64);
	_call.reset();
	_uncount();
	if (!trouble.empty())
		return _refuse("ask: no answer from " + _gui_domain + ": " + trouble, _notify);
	if (reply.kind == Reply::Kind::DENY) return _refuse("denied by the user " + _place, _notify);
	if (reply.kind == Reply::Kind::INVALID)
		return _refuse("ask: invalid answer from " + _gui_domain + ": '" + shown + "'", _notify);
	_chosen = std::move(chosen);
	begin();
}

} // namespace bulkhead::qrexec
