// The component "program": pid 1 of a domain whose programs know nothing of Bulkhead.

#include "component/program/host.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"

#include <algorithm>

using namespace bulkhead;
using namespace bulkhead::component;

namespace {

// A call has a channel, pipes, a process: seven descriptors, and some more while it begins.
constexpr size_t DESCRIPTORS_PER_CALL = 10;
constexpr size_t OTHER_DESCRIPTORS = 64;
constexpr size_t CALLS_MAX = 4096;

Env::Limits limits()
{
	size_t const descriptors =
		qrexec::raise_descriptor_limit(CALLS_MAX * DESCRIPTORS_PER_CALL + OTHER_DESCRIPTORS);
	size_t const for_calls = descriptors - std::min(descriptors, OTHER_DESCRIPTORS);
	Env::Limits limits;
	limits.grace_us = 0; // processes have more time (Host::stop)
	limits.calls = std::clamp(for_calls / DESCRIPTORS_PER_CALL, size_t{1}, CALLS_MAX);
	return limits;
}

} // namespace

int main()
{
	qrexec::prepare_process();
	linux_host::Loop loop;
	Env env(loop, limits());
	if (!loop.usable().ok() || !env.start()) return env.fail();
	auto config = domain::read_program_config(env.config());
	if (!config.ok()) {
		qrexec::log(
			"the configuration makes no sense: the broker and this program don't fit together");
		return 1;
	}
	Host host(loop, env, std::move(config.value()));
	if (!host.start()) return 1;
	int const exit_code = env.run();
	host.stop();
	return exit_code;
}
