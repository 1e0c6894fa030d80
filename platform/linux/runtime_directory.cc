#include "platform/linux/runtime_directory.h"

#include <cstdlib>
#include <unistd.h>

namespace bulkhead::linux_host {

std::string runtime_directory()
{
	if (char const *const path = getenv("BULKHEAD_RUN_DIR"); path && *path) return path;
	if (geteuid() == 0) return "/run/bulkhead";
	if (char const *const path = getenv("XDG_RUNTIME_DIR"); path && *path)
		return std::string(path) + "/bulkhead";
	return "/tmp/bulkhead-" + std::to_string(geteuid());
}

} // namespace bulkhead::linux_host
