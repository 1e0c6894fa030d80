#include "rpc/policy/system.h"

namespace bulkhead::policy {

/* The number of a domain, which exists only once it is described. */
Attempt<uint32_t> System::_named(std::string_view name)
{
	uint32_t const known = _numbers.find(name);
	if (known != NONE) return known;
	Domain domain;
	domain.name = TRY(copy(_arena, name));
	TRY(_domains.push_back(domain));
	return TRY(_numbers.at(domain.name)) = _domains.size() - 1;
}

Attempt<void> System::_describe(Domain_description const &from)
{
	uint32_t const number = TRY(_named(from.name));
	if (_domains[number].exists) return Error::EXISTS;
	Domain domain{from};
	domain.exists = true;
	if (!from.default_dispvm.empty()) domain.disposables_of = TRY(_named(from.default_dispvm));
	if (!from.relayvm.empty()) domain.relay = TRY(_named(from.relayvm));
	for (std::string_view *const text : {&domain.name, &domain.type, &domain.default_dispvm,
			 &domain.uuid, &domain.relayvm, &domain.transport_rpc})
		*text = TRY(copy(_arena, *text));
	std::span<std::string_view> const tags = TRY(copy(_arena, from.tags));
	for (std::string_view &tag : tags) tag = TRY(copy(_arena, tag));
	domain.tags = tags;
	_domains[number] = domain;
	return Ok{};
}

uint32_t System::with_uuid(std::string_view text) const
{
	if (text == ADMIN_UUID) return _admin;
	if (_aliases) return find(text);
	for (uint32_t i = 0; i < _domains.size(); ++i)
		if (_domains[i].uuid == text) return i;
	return NONE;
}

Attempt<Owned<System>> System::create(
	Allocator &allocator, std::span<Domain_description const> descriptions, bool uuid_aliases)
{
	Owned<System> system = TRY(create_owned<System>(allocator, allocator));
	for (Domain_description const &description : descriptions) TRY(system->_describe(description));
	system->_admin = TRY(system->_named(ADMIN_NAME));
	system->_aliases = uuid_aliases;
	// Behind all names: a name always means the domain that has it.
	for (uint32_t i = 0; uuid_aliases && i < system->_domains.size(); ++i)
		if (std::string_view const uuid = system->_domains[i].uuid; !uuid.empty()) {
			uint32_t &number = TRY(system->_numbers.at(uuid));
			if (number == NONE) number = i;
		}
	return system;
}

} // namespace bulkhead::policy
