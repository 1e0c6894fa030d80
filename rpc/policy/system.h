#pragma once

// What a policy must know of the system: its domains and what they are. Names are interned, tags
// are sets; made from a description and never changed, so that a new one takes its place as a
// whole when a domain comes, goes or starts.

#include "base/owned.h"
#include "rpc/policy/arena.h"
#include "rpc/policy/table.h"
#include "rpc/policy/token.h"

namespace bulkhead::policy {

/* As qubesd describes a domain; empty texts: not set. Texts are copied. */
struct Domain_description
{
	std::string_view name{};
	std::string_view type{}; // "AppVM", "AdminVM", "RemoteVM" …
	std::span<std::string_view const> tags{};
	std::string_view default_dispvm{};
	std::string_view uuid{}; // without "uuid:"
	std::string_view relayvm{};
	std::string_view transport_rpc{};
	bool template_for_dispvms = false;
	bool running = false; // its power_state is "Running"
	bool internal = false;
};

/* Other domains by their numbers, or NONE. */
struct Domain
{
	std::string_view name{};
	std::string_view uuid_text{}; // "uuid:…"; empty: it has none
	uint32_t type = NONE;
	uint32_t default_dispvm = NONE;
	uint32_t relayvm = NONE;
	std::string_view transport_rpc{};
	std::span<uint32_t const> tags{}; // sorted
	bool exists = false; // else it is only named by another, or is a dom0 that isn't described
	bool admin = false; // type AdminVM
	bool remote = false; // type RemoteVM
	bool template_for_dispvms = false;
	bool running = false;
	bool internal = false;

	bool tagged(uint32_t tag) const { return std::binary_search(tags.begin(), tags.end(), tag); }
};

class System final
{
private:
	Arena _arena;
	Text_table _domains_by_text; // names and "uuid:…"
	Text_table _types;
	Text_table _tags;
	std::span<Domain> _domains{};
	uint32_t _admin = NONE;
	bool _uuid_aliases = true;

	Attempt<uint32_t> _number(Text_table &table, std::string_view text);
	Attempt<uint32_t> _named(Growing_list<Domain> &domains, std::string_view name);
	Attempt<void> _describe(Growing_list<Domain> &domains, Domain_description const &from);
	Attempt<void> _add_aliases();

public:
	explicit System(Allocator &allocator)
		: _arena(allocator), _domains_by_text(allocator), _types(allocator), _tags(allocator)
	{}

	/*
	 * `uuid_aliases`: a domain is known by "uuid:…", too. Errors: OUT_OF_MEMORY; EXISTS if two
	 * domains have one name. The allocator outlives the system.
	 */
	static Attempt<Owned<System>> create(Allocator &allocator,
		std::span<Domain_description const> domains, bool uuid_aliases = true);

	std::span<Domain const> domains() const { return _domains; }

	/* A domain by name or "uuid:…", or NONE; also one that doesn't exist but is named. */
	uint32_t find(std::string_view text) const { return _domains_by_text.find(text); }

	/* dom0, whether described or not. */
	uint32_t admin() const { return _admin; }
	bool uuid_aliases() const { return _uuid_aliases; }

	/* The number of a type or tag, or NONE if no domain has it. */
	uint32_t type(std::string_view text) const { return _types.find(text); }
	uint32_t tag(std::string_view text) const { return _tags.find(text); }
};

} // namespace bulkhead::policy
