#pragma once

// What names of a manifest look like: those of domains, services and tags are policy's, too.

#include <string_view>

namespace bulkhead::domain {

/* What is wrong with the name of a domain, a system, a component or a device; empty: nothing. */
std::string_view fault_of_name(std::string_view name);

/* Letters, digits, '_', '-', '.', and what else is given; at least one. */
bool made_of_name_characters(std::string_view name, std::string_view besides = {});

} // namespace bulkhead::domain
