#pragma once

// The command line of qrexec-daemon.

#include "component/qrexec/daemon/settings.h"

#include <optional>

namespace bulkhead::qrexec {

/* What is left to do: run with the settings, or exit with a code, as was said. */
struct Parsed_settings
{
	std::optional<Settings> settings{};
	int exit_code = 0;
};

/* Looks into the environment as well ($QREXEC_…, see the manual). */
Parsed_settings parse_settings(int argc, char **argv);

} // namespace bulkhead::qrexec
