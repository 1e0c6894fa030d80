#pragma once

// Files of other domains, mounted in this one before it began: each mount is a call that is made
// again when its server has ended.

#include "domain/manifest/program_config.h"
#include "sdk/component/env.h"
#include "vfs/remote/mount.h"

#include <vector>

namespace bulkhead::component {

/* Belongs to the loop's thread. */
class Mounts final
{
private:
	class Mount;

	Env &_env;
	std::vector<std::unique_ptr<Mount>> _mounts{};

public:
	explicit Mounts(Env &env);
	~Mounts();

	/* Errors: NOT_FOUND (no descriptor for one of them), OUT_OF_FRAMES. */
	Attempt<void> start(std::vector<domain::Mount> const &mounts);
};

} // namespace bulkhead::component
