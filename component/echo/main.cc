#include "component/echo/caller.h"
#include "component/echo/streams.h"

int main()
{
	bulkhead::linux_host::Loop loop;
	bulkhead::component::Env env(loop);
	if (!env.start()) return env.fail();
	bulkhead::echo::Echo echo;
	bulkhead::echo::Discard discard;
	bulkhead::echo::Source source;
	bulkhead::echo::Caller caller(env);
	env.serve("bulkhead.Echo", echo);
	env.serve("bulkhead.Discard", discard);
	env.serve("bulkhead.Source", source);
	env.serve("bulkhead.Caller", caller);
	return env.run();
}
