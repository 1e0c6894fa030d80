#pragma once

// What holds between the domains of a system: who is named exists, nobody needs itself, and those
// that others need come first.

#include "domain/manifest/manifest.h"

namespace bulkhead::domain {

/* A place where one domain names another. */
struct Reference
{
	enum class Kind : uint8_t { NEED, MOUNT };

	size_t domain; // index in the plan
	Position at;
	Kind kind;
	std::string name;
};

/*
 * Checks all places, and brings the domains into the order of need. A domain whose files are
 * mounted is needed, too; one that starts on a call comes earlier, but needn't run.
 */
void order_by_need(Reading &reading, std::vector<Reference> const &references);

} // namespace bulkhead::domain
