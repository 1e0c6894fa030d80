#include "domain/broker/shown/status.h"

namespace bulkhead::domain {

namespace {

std::string_view name_of(State state)
{
	static constexpr std::array<std::string_view, 6> NAMES{
		"stopped", "starting", "running", "stopping", "waiting", "failed"};
	return NAMES[static_cast<size_t>(state)];
}

std::string_view name_of(Broker const &broker, Party party)
{
	Domain const *const domain = broker.find(party);
	return operators(party) ? OPERATOR : domain ? std::string_view(domain->name) : "";
}

/* Bytes that aren't printable ASCII have no meaning here. */
void put(std::string &to, std::string_view text)
{
	to += '"';
	for (char const c : text) {
		if (c == '"' || c == '\\') to += '\\';
		to += c >= ' ' && c < '\x7f' ? c : '_';
	}
	to += '"';
}

void put(std::string &to, std::integral auto number) { to += std::to_string(number); }

/* A list, each of whose elements `write` writes. */
void put_each(std::string &to, auto const &of, auto const &write)
{
	char before = '[';
	for (auto const &each : of) {
		to += std::exchange(before, ',');
		write(each);
	}
	to += before == '[' ? "[]" : "]";
}

void put(std::string &to, std::vector<std::string> const &texts)
{
	put_each(to, texts, [&](std::string_view text) { put(to, text); });
}

/* Names and values in turn, as members of an object. */
template <typename VALUE, typename... REST>
void add(std::string &to, std::string_view name, VALUE const &value, REST const &...rest)
{
	to += to.back() == '{' ? "\"" : ",\"";
	to += name;
	to += "\":";
	put(to, value);
	if constexpr (sizeof...(REST) > 0) add(to, rest...);
}

void put(std::string &to, Domain const &domain, Status_facts::Process const &process)
{
	Domain_plan const &plan = domain.plan;
	std::vector<std::string> services = plan.services;
	for (Service_command const &command : plan.commands) services.push_back(command.service);
	to += '{';
	add(to, "name", domain.name, "id", domain.id, "state", name_of(domain.state), "pid",
		process.pid, "starts", domain.starts, "last_end", domain.last_end, "since_us",
		domain.since_us, "component", plan.component, "needs", plan.needs, "tags", plan.tags,
		"services", services, "calls_made", domain.calls_made, "calls_served", domain.calls_served,
		"calls_refused", domain.calls_refused, "live", domain.made_live + domain.served_live, "log",
		process.log, "memory_bytes", process.memory_bytes);
	to += '}';
}

} // namespace

void write_status(std::string &to, Broker const &broker, Status_facts const &facts)
{
	to += '{';
	add(to, "system", broker.name(), "pid", facts.pid, "manifest", facts.manifest, "logs",
		facts.logs, "policy", facts.policy, "now_us", broker.now_us(), "since_us", facts.since_us,
		"weaker", facts.weaker);
	to += ",\"domains\":";
	put_each(to, broker.domains(),
		[&](Domain const *domain) { put(to, *domain, facts.process_of(domain->id)); });
	to += ",\"calls\":";
	put_each(to, broker.calls(), [&](auto const &entry) {
		Call const &call = entry.second;
		to += '{';
		add(to, "port", call.port, "caller", name_of(broker, call.caller), "target",
			name_of(broker, call.target), "service", call.service, "since_us", call.since_us);
		to += '}';
	});
	to += ",\"refusals\":";
	put_each(to, broker.refusals(), [&](Refusal const &refusal) {
		to += '{';
		add(to, "caller", refusal.caller, "target", refusal.target, "service", refusal.service,
			"count", refusal.count, "last_us", refusal.last_us, "reason", refusal.reason);
		to += '}';
	});
	to += '}';
}

} // namespace bulkhead::domain
