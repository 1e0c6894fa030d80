#pragma once

// Why the broker has refused something to the operator, and what he can do about it, as the status
// tells. A domain isn't told.

#include "tool/domains/status.h"
#include "tool/outcome.h"

namespace bulkhead::tool {

class Control;

/* That a system has no such domain, and which may have been meant. */
Trouble no_domain(Status const &status, std::string_view name);

/*
 * Why the operator's last call of this service (SERVICE or SERVICE+ARGUMENT) was refused; nothing:
 * the status doesn't know.
 */
std::optional<Trouble> why_refused(
	Status const &status, std::string_view target, std::string_view service);

/* The status of the system; nothing if the broker doesn't tell. Not while a call is asked for. */
std::optional<Status> status_of(Control &control);

} // namespace bulkhead::tool
