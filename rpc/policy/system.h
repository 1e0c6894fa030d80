#pragma once

// What a policy must know of the system: its domains and what they are. Made from a description and
// never changed, so that a new one takes its place as a whole when a domain comes, goes or starts.

#include "base/owned.h"
#include "rpc/policy/arena.h"
#include "rpc/policy/table.h"
#include "rpc/policy/token.h"

#include <algorithm>

namespace bulkhead::policy {

/* As qubesd describes a domain; empty texts: not set. Texts are copied. */
struct Domain_description
{
	std::string_view name{};
	std::string_view type{}; // "AppVM", "AdminVM", "RemoteVM" …
	std::span<std::string_view const> tags{};
	std::string_view default_dispvm{};
	std::string_view uuid{}; // "uuid:…"
	std::string_view relayvm{};
	std::string_view transport_rpc{};
	bool template_for_dispvms = false;
	bool running = false; // its power_state is "Running"
	bool internal = false;
};

struct Domain : Domain_description
{
	uint32_t disposables_of = NONE; // number of default_dispvm
	uint32_t relay = NONE; // number of relayvm
	bool exists = false; // else it is only named by another, or is a dom0 that isn't described

	bool admin() const { return type == "AdminVM"; }
	bool remote() const { return type == "RemoteVM"; }
	bool tagged(std::string_view tag) const { return std::ranges::find(tags, tag) != tags.end(); }
};

class System final
{
private:
	Arena _arena; // of the texts
	Table _numbers{_arena}; // of domains, by name and "uuid:…"
	Growing_list<Domain> _domains{_arena};
	uint32_t _admin = NONE;
	bool _aliases = false;

	Attempt<uint32_t> _named(std::string_view name);
	Attempt<void> _describe(Domain_description const &from);

public:
	explicit System(Allocator &allocator) : _arena(allocator) {}

	/*
	 * `uuid_aliases`: a domain is known by "uuid:…", too. Errors: OUT_OF_MEMORY; EXISTS if two
	 * domains have one name. The allocator outlives the system.
	 */
	static Attempt<Owned<System>> create(Allocator &allocator,
		std::span<Domain_description const> domains, bool uuid_aliases = true);

	std::span<Domain const> domains() const { return _domains.view(); }

	/* A domain by name or "uuid:…", or NONE; also one that doesn't exist but is named. */
	uint32_t find(std::string_view text) const { return _numbers.find(text); }

	/* The domain that "uuid:…" is of, even without aliases, or NONE. */
	uint32_t with_uuid(std::string_view text) const;

	/* dom0, whether described or not. */
	uint32_t admin() const { return _admin; }
};

} // namespace bulkhead::policy
