// Compiled by frame_bound.sh with frames of several sizes: the bound must hold when compiling.

#include "base/event.h"
#include "base/task.h"

namespace bulkhead {

void use(char *);

Task<int> large(Job &job, Event &event)
{
	char kept[FRAME_BYTES];
	use(kept);
	CO_TRY(co_await event.wait(job));
	use(kept);
	co_return 1;
}

Task<int> awaiting(Job &job, Event &event) { co_return co_await large(job, event); }

} // namespace bulkhead
