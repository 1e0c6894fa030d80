#pragma once

// Names that come from a domain, before anything is done with them.

#include "rpc/qrexec/message.h"

namespace bulkhead::qrexec {

/* What else than A-Z a-z 0-9 _ - . a name may have. */
inline constexpr std::string_view IN_SERVICES = "+";
inline constexpr std::string_view IN_TARGETS = "@:";

/* Replaces every other character by an underscore. */
void sanitize(std::span<char> name, std::string_view also_allowed);

bool clean(std::string_view name, std::string_view also_allowed);

/* An ident as an agent chooses it: letters, digits, `_ - .` and blanks, 1 to 31 of them. */
bool valid_ident(std::string_view ident);

} // namespace bulkhead::qrexec
