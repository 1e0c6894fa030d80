#include "rpc/policy/system.h"

#include "base/format.h"

namespace bulkhead::policy {

Attempt<uint32_t> System::_number(Text_table &table, std::string_view text)
{
	uint32_t const known = table.find(text);
	if (known != NONE) return known;
	return table.insert(TRY(_arena.text(text)), static_cast<uint32_t>(table.size()));
}

/* The number of a domain, which exists only once it is described. */
Attempt<uint32_t> System::_named(Growing_list<Domain> &domains, std::string_view name)
{
	uint32_t const known = _domains_by_text.find(name);
	if (known != NONE) return known;
	uint32_t const next = static_cast<uint32_t>(domains.size());
	std::string_view const text = TRY(_arena.text(name));
	TRY(domains.push_back({.name = text}));
	return _domains_by_text.insert(text, next);
}

Attempt<void> System::_describe(Growing_list<Domain> &domains, Domain_description const &from)
{
	uint32_t const number = TRY(_named(domains, from.name));
	if (domains[number].exists) return Error::EXISTS;
	Domain domain = domains[number];
	domain.exists = true;
	domain.type = TRY(_number(_types, from.type));
	domain.admin = from.type == "AdminVM";
	domain.remote = from.type == "RemoteVM";
	domain.template_for_dispvms = from.template_for_dispvms;
	domain.running = from.running;
	domain.internal = from.internal;
	domain.transport_rpc = TRY(_arena.text(from.transport_rpc));
	if (!from.uuid.empty()) {
		std::span<char> const text = TRY(_arena.array<char>(UUID_PREFIX.size() + from.uuid.size()));
		Text_writer writer(text);
		format_all(writer, UUID_PREFIX, from.uuid);
		domain.uuid_text = writer.text();
	}
	std::span<uint32_t> const tags = TRY(_arena.array<uint32_t>(from.tags.size()));
	for (size_t i = 0; i < tags.size(); ++i) tags[i] = TRY(_number(_tags, from.tags[i]));
	std::sort(tags.begin(), tags.end());
	domain.tags = tags;
	if (!from.default_dispvm.empty())
		domain.default_dispvm = TRY(_named(domains, from.default_dispvm));
	if (!from.relayvm.empty()) domain.relayvm = TRY(_named(domains, from.relayvm));
	domains[number] = domain;
	return Ok{};
}

/* Behind all names: a name always means the domain that has it. */
Attempt<void> System::_add_aliases()
{
	for (uint32_t i = 0; i < _domains.size(); ++i)
		if (!_domains[i].uuid_text.empty()) TRY(_domains_by_text.insert(_domains[i].uuid_text, i));
	return Ok{};
}

Attempt<Owned<System>> System::create(
	Allocator &allocator, std::span<Domain_description const> descriptions, bool uuid_aliases)
{
	Owned<System> system = TRY(create_owned<System>(allocator, allocator));
	Growing_list<Domain> domains(allocator);
	for (Domain_description const &description : descriptions)
		TRY(system->_describe(domains, description));
	system->_admin = TRY(system->_named(domains, ADMIN_NAME));
	system->_domains = TRY(system->_arena.copy(std::span<Domain const>(domains.view())));
	system->_uuid_aliases = uuid_aliases;
	if (uuid_aliases) TRY(system->_add_aliases());
	return system;
}

} // namespace bulkhead::policy
