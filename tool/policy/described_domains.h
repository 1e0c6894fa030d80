#pragma once

// The domains of a system, as JSON describes them.

#include "base/owned.h"
#include "rpc/policy/system.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bulkhead::tool {

/* Domains as JSON has them: {"domains":{NAME:{…}},"uuid_aliases":bool}. */
class Described_domains
{
private:
	struct Domain
	{
		std::string name, type, default_dispvm, uuid, relayvm, transport_rpc;
		std::vector<std::string> tags;
		bool template_for_dispvms, running, internal;
	};

	std::vector<Domain> _domains{};
	bool _aliases = true;

public:
	Described_domains() = default;

	/* Throws what nlohmann-json throws if something is of another type. */
	explicit Described_domains(nlohmann::json const &system);

	/* A running AppVM, if there is no domain of that name. */
	void add(std::string_view name);

	Attempt<Owned<policy::System>> make(Allocator &allocator) const;
};

} // namespace bulkhead::tool
