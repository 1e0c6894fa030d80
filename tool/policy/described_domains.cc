#include "tool/policy/described_domains.h"

namespace bulkhead::tool {

namespace {

std::string text_in(nlohmann::json const &object, char const *key)
{
	auto const found = object.find(key);
	return found == object.end() || found->is_null() ? std::string() : found->get<std::string>();
}

std::string uuid_in(nlohmann::json const &object)
{
	std::string const uuid = text_in(object, "uuid");
	return uuid.empty() ? uuid : std::string(policy::UUID_PREFIX) + uuid;
}

bool flag_in(nlohmann::json const &object, char const *key)
{
	auto const found = object.find(key);
	return found != object.end() && !found->is_null() && found->get<bool>();
}

} // namespace

Described_domains::Described_domains(nlohmann::json const &system)
{
	if (system.contains("uuid_aliases")) _aliases = system.at("uuid_aliases").get<bool>();
	for (auto const &[name, of] : system.at("domains").items()) {
		Domain domain{name, text_in(of, "type"), text_in(of, "default_dispvm"), uuid_in(of),
			text_in(of, "relayvm"), text_in(of, "transport_rpc"), {},
			flag_in(of, "template_for_dispvms"), text_in(of, "power_state") == "Running",
			flag_in(of, "internal")};
		if (of.contains("tags")) of.at("tags").get_to(domain.tags);
		_domains.push_back(std::move(domain));
	}
}

void Described_domains::add(std::string_view name)
{
	for (Domain const &domain : _domains)
		if (domain.name == name) return;
	bool const admin = name == policy::ADMIN_NAME;
	_domains.push_back(
		{std::string(name), admin ? "AdminVM" : "AppVM", "", "", "", "", {}, false, true, false});
}

Attempt<Owned<policy::System>> Described_domains::make(Allocator &allocator) const
{
	std::vector<std::vector<std::string_view>> tags;
	std::vector<policy::Domain_description> descriptions;
	for (Domain const &domain : _domains) tags.emplace_back(domain.tags.begin(), domain.tags.end());
	for (size_t i = 0; i < _domains.size(); ++i)
		descriptions.push_back({.name = _domains[i].name,
			.type = _domains[i].type,
			.tags = tags[i],
			.default_dispvm = _domains[i].default_dispvm,
			.uuid = _domains[i].uuid,
			.relayvm = _domains[i].relayvm,
			.transport_rpc = _domains[i].transport_rpc,
			.template_for_dispvms = _domains[i].template_for_dispvms,
			.running = _domains[i].running,
			.internal = _domains[i].internal});
	return policy::System::create(allocator, descriptions, _aliases);
}

} // namespace bulkhead::tool
