// Files of a component's own, and of the devices that it drives, for other domains.

#include "component/files/files.h"

int main()
{
	bulkhead::linux_host::Loop loop;
	bulkhead::component::Env env(loop);
	if (!env.start()) return env.fail();
	bulkhead::files::Files files(env);
	return files.start() ? files.run() : 1;
}
