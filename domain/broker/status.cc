#include "domain/broker/status.h"

namespace bulkhead::domain {

namespace {

/* Objects and lists in the order in which they are written. */
class Json
{
private:
	std::string &_to;

	void _comma()
	{
		if (!_to.empty() && _to.back() != '{' && _to.back() != '[' && _to.back() != ':') _to += ',';
	}

public:
	explicit Json(std::string &to) : _to(to) {}

	Json &open(char bracket)
	{
		_comma();
		_to += bracket;
		return *this;
	}
	Json &close(char bracket)
	{
		_to += bracket;
		return *this;
	}
	/* Bytes that aren't ASCII have no meaning here: most are of names, which have none. */
	Json &text(std::string_view text)
	{
		_comma();
		_to += '"';
		for (char const c : text) {
			if (c == '"' || c == '\\') _to += '\\';
			_to += c >= ' ' && c < '\x7f' ? c : '_';
		}
		_to += '"';
		return *this;
	}
	Json &key(std::string_view name)
	{
		text(name);
		_to += ':';
		return *this;
	}
	Json &value(std::string_view name, std::string_view is) { return key(name).text(is); }
	template <std::integral NUMBER>
	Json &value(std::string_view name, NUMBER number)
	{
		key(name);
		_to += std::to_string(number);
		return *this;
	}
	Json &list(std::string_view name, std::vector<std::string> const &of)
	{
		key(name).open('[');
		for (std::string const &each : of) text(each);
		return close(']');
	}
};

void write(Json &to, Domain const &domain, Status_facts::Process const &process)
{
	std::vector<std::string> services = domain.plan.services;
	for (Service_command const &command : domain.plan.commands) services.push_back(command.service);
	to.open('{').value("name", domain.name).value("id", domain.id);
	to.value("state", name_of(domain.state)).value("pid", process.pid);
	to.value("starts", domain.starts).value("last_end", domain.last_end);
	to.value("since_us", domain.since_us).list("tags", domain.plan.tags);
	to.list("services", services).value("calls_made", domain.calls_made);
	to.value("calls_served", domain.calls_served).value("calls_refused", domain.calls_refused);
	to.value("live", domain.made_live + domain.served_live).value("log", process.log);
	to.value("memory_bytes", process.memory_bytes).close('}');
}

} // namespace

void write_status(std::string &to, Broker const &broker, Status_facts const &facts)
{
	Json json(to);
	json.open('{').value("system", broker.name()).value("pid", facts.pid);
	json.value("manifest", facts.manifest).value("logs", facts.logs).value("policy", facts.policy);
	json.value("now_us", broker.now_us()).value("since_us", facts.since_us);
	json.list("weaker", facts.weaker).key("domains").open('[');
	for (auto const &domain : broker.domains())
		if (!domain->gone || domain->alive()) write(json, *domain, facts.process_of(domain->id));
	json.close(']').key("calls").open('[');
	for (auto const &[port, call] : broker.calls()) {
		json.open('{').value("port", port).value("caller", broker.name_of_party(call.caller));
		json.value("target", broker.name_of_party(call.target)).value("service", call.service);
		json.value("since_us", call.since_us).close('}');
	}
	json.close(']').key("refusals").open('[');
	for (Refusal const &refusal : broker.refusals()) {
		json.open('{').value("caller", refusal.caller).value("target", refusal.target);
		json.value("service", refusal.service).value("count", refusal.count);
		json.value("last_us", refusal.last_us).value("reason", refusal.reason).close('}');
	}
	json.close(']').close('}');
}

} // namespace bulkhead::domain
