#include "component/qrexec/policy_daemon/wire.h"

#include "component/qrexec/policy_daemon/journal.h"
#include "rpc/qrexec/name.h"

namespace bulkhead::qrexec {

namespace {

// Of policy.Eval*, in bytes, as upstream reads them.
constexpr size_t EVAL_HEADER_MAX = 65536;
constexpr size_t EVAL_SOURCE_MAX = 31;
constexpr size_t EVAL_TARGET_MAX = 63;

void set_service(Asked &asked, std::string_view text)
{
	size_t const plus = std::min(text.find('+'), text.size());
	asked.as_written = text;
	asked.service = text.substr(0, plus);
	asked.argument = plus < text.size() ? text.substr(plus) : "+";
}

std::variant<Asked, std::string> parse_daemons(std::string_view received)
{
	using namespace std::string_view_literals;
	size_t const end = received.starts_with('\n') ? 0 : received.find("\n\n");
	std::string_view const text =
		end == std::string_view::npos ? received : received.substr(0, end ? end + 1 : 0);
	auto const parsed = parse_policy_question(text);
	if (!parsed.ok())
		return "error parsing policy request: " + std::string(name_of(parsed.error()));
	Policy_question const &question = parsed.value();
	Asked asked;
	asked.source = question.source;
	asked.requested_source = question.requested_source;
	asked.target = question.intended_target;
	set_service(asked, question.service_and_argument);
	asked.assume_yes = question.assume_yes_for_ask;
	asked.just_evaluate = question.just_evaluate;
	return asked;
}

/* `policy.EvalSimple+SERVICE CALLER …` NUL SOURCE NUL TARGET */
std::variant<Asked, std::string> parse_eval(Face face, std::string_view received)
{
	std::string const own = face == Face::EVAL_GUI ? "policy.EvalGUI" : "policy.EvalSimple";
	size_t const blank = received.find(' ');
	size_t const nul = received.find('\0', std::min(blank, received.size()));
	if (blank > EVAL_HEADER_MAX || nul == std::string_view::npos || nul - blank > EVAL_HEADER_MAX)
		return own + ": the call's description doesn't end";
	std::string_view const called = received.substr(0, blank);
	std::string_view caller = received.substr(blank + 1, nul - blank - 1);
	caller = caller.substr(0, caller.find(' '));
	std::string_view const data = received.substr(nul + 1);
	std::string const from = " from " + printable(caller, 64);
	if (called.substr(0, called.find('+')) != own)
		return own + ": called as " + printable(called, 64) + from;
	if (called.size() < own.size() + 2 || called[own.size() + 1] == '+')
		return own + ": needs the service to ask about as its argument" + from;
	size_t const middle = data.find('\0');
	if (middle == std::string_view::npos) return own + ": no NUL between source and target" + from;
	std::string_view const source = data.substr(0, middle), target = data.substr(middle + 1);
	if (source.empty() || source.size() > EVAL_SOURCE_MAX)
		return own + ": a source has 1 to 31 characters" + from;
	if (target.empty() || target.size() > EVAL_TARGET_MAX)
		return own + ": a target has 1 to 63 characters" + from;
	if (!clean(source, "@") || !clean(target, "@"))
		return own + ": source or target has characters that no name has" + from;
	Asked asked;
	asked.source = source;
	asked.target = target;
	set_service(asked, called.substr(own.size() + 1));
	asked.assume_yes = asked.just_evaluate = true;
	if (face == Face::EVAL_GUI) asked.gui_domain = caller.empty() ? "?" : caller;
	return asked;
}

} // namespace

bool question_complete(std::string_view received, size_t looked_at)
{
	if (received.starts_with('\n')) return true;
	return received.find("\n\n", looked_at ? looked_at - 1 : 0) != std::string_view::npos;
}

std::variant<Asked, std::string> parse_question(Face face, std::string_view received)
{
	if (received.size() > question_max(face)) return "error parsing policy request: too long";
	return face == Face::DAEMONS ? parse_daemons(received) : parse_eval(face, received);
}

} // namespace bulkhead::qrexec
