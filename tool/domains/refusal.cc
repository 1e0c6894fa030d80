#include "tool/domains/refusal.h"

#include "domain/manifest/toml.h"
#include "rpc/qrexec/name.h"
#include "tool/domains/control.h"

#include <algorithm>
#include <fmt/format.h>

namespace bulkhead::tool {

namespace {

constexpr std::string_view OPERATOR = "dom0";

Trouble failure(std::string what, std::string remedy)
{
	return {Exit::FAILURE, std::move(what), std::move(remedy)};
}

/* "did you mean 'a'?", or all of them. */
std::string which_of(std::string_view wrong, std::vector<std::string_view> const &names)
{
	return names.empty() ? std::string() : domain::suggestion(wrong, names);
}

/* Whether the status has this name, or the beginning of it that can be shown, for that one. */
bool shows(std::string_view shown, std::string_view name)
{
	std::string of(name);
	qrexec::sanitize(of, "+@:");
	return of.starts_with(shown);
}

Refused_calls const *last_refusal(
	Status const &status, std::string_view target, std::string_view service)
{
	Refused_calls const *last = nullptr;
	for (Refused_calls const &refused : status.refusals)
		if (refused.caller == OPERATOR && shows(refused.target, target) &&
			shows(refused.service, service) && (!last || refused.last_us >= last->last_us))
			last = &refused;
	return last;
}

bool offers(Domain_status const &domain, std::string_view service)
{
	return std::ranges::any_of(domain.services,
		[&](std::string_view offered) { return offered == service || offered == "*"; });
}

Trouble no_service(Domain_status const &domain, std::string_view service)
{
	if (domain.services.empty())
		return failure(fmt::format("{} offers no services", domain.name),
			domain.component.empty()
				? fmt::format("[domain.{}.service.\"{}\"] in the manifest", domain.name, service)
				: fmt::format(
					  "services = [\"{}\"] in [domain.{}] of the manifest", service, domain.name));
	return failure(fmt::format("{} doesn't offer {}", domain.name, service),
		which_of(service, {domain.services.begin(), domain.services.end()}));
}

Trouble not_running(Domain_status const &domain)
{
	return failure(fmt::format("{} isn't running ({}{}{})", domain.name, domain.state,
					   domain.last_end.empty() ? "" : ": ", domain.last_end),
		fmt::format("bulkhead start {0}; what it has said: bulkhead logs {0}", domain.name));
}

/* A reason as the broker has it speaks of "its target" and "its caller". */
Trouble with_names(std::string what, Domain_status const &target)
{
	bool const limit = what.contains("calls");
	for (auto const &[word, name] :
		{std::pair<std::string_view, std::string_view>{"its target", target.name},
			{"its caller", OPERATOR}})
		if (size_t const at = what.find(word); at != what.npos) what.replace(at, word.size(), name);
	return failure(std::move(what),
		limit ? fmt::format("bulkhead top shows live calls; more are permitted by `calls` in "
							"[domain.{}]",
					target.name)
			  : fmt::format("bulkhead logs {}", target.name));
}

} // namespace

Trouble no_domain(Status const &status, std::string_view name)
{
	if (name == OPERATOR)
		return failure("dom0 is the operator and no domain", "bulkhead ps lists the domains");
	std::vector<std::string_view> names;
	for (Domain_status const &domain : status.domains) names.push_back(domain.name);
	return failure(
		fmt::format("there is no domain '{}' in {}", name, status.system), which_of(name, names));
}

std::optional<Trouble> why_refused(
	Status const &status, std::string_view target, std::string_view service)
{
	Refused_calls const *const refused = last_refusal(status, target, service);
	if (!refused) return {};
	std::string_view const name = service.substr(0, service.find('+'));
	if (!qrexec::clean(service, qrexec::IN_SERVICES))
		return failure(fmt::format("no service is called '{}'", service),
			"letters, digits, '_', '-' and '.'; SERVICE+ARGUMENT for one with an argument");
	Domain_status const *const domain = status.find(target);
	if (!domain) return no_domain(status, target);
	if (!offers(*domain, name)) return no_service(*domain, name);
	if (domain->state == "stopped" || domain->state == "failed") return not_running(*domain);
	return with_names(refused->reason, *domain);
}

std::optional<Status> status_of(Control &control)
{
	auto const json = control.status();
	return json.ok() ? read_status(json.value()) : std::nullopt;
}

} // namespace bulkhead::tool
