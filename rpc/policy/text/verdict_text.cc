#include "rpc/policy/text/verdict_text.h"

namespace bulkhead::policy {

std::string_view name_of(Denial denial)
{
	switch (denial) {
	case Denial::NOT_DENIED: return "not denied";
	case Denial::RULE: return "a rule denies it";
	case Denial::NO_RULE: return "no rule matches";
	case Denial::BROKEN_POLICY: return "the policy has faults, so that everything is denied";
	case Denial::BAD_TARGET: return "the target is none that can be asked for";
	case Denial::NOT_A_TEMPLATE: return "there is no such template for disposables";
	case Denial::NO_TARGET: return "neither the caller nor the rule names a target that exists";
	case Denial::NO_DISPOSABLE: return "the source has no default template for disposables";
	case Denial::NOTHING_TO_OFFER: return "there is no target to choose from";
	case Denial::NOT_OFFERED: return "what was chosen isn't on offer";
	case Denial::SOURCE_UNKNOWN: return "the requested source doesn't exist";
	case Denial::SOURCE_NOT_REMOTE: return "the requested source is no RemoteVM";
	case Denial::SOURCE_OF_OTHER_RELAY: return "the caller is no relay for the requested source";
	}
	return "denied";
}

std::string_view name_of(Call_fault fault)
{
	switch (fault) {
	case Call_fault::OK: return "none";
	case Call_fault::LOOPBACK: return "source and target are the same";
	case Call_fault::NOT_RUNNING: return "the target isn't running and mustn't be started";
	case Call_fault::NO_RELAY: return "the RemoteVM has no relay";
	case Call_fault::NO_TRANSPORT: return "the RemoteVM has no transport service";
	case Call_fault::NO_TEMPLATE: return "the default template for disposables doesn't exist";
	}
	return "unknown";
}

std::string_view base_name(Policy const &policy, uint32_t file)
{
	std::string_view const path = policy.file_name(file);
	return path.substr(path.rfind('/') + 1);
}

} // namespace bulkhead::policy
