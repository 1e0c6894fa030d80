#pragma once

// The one who has a system of component echo do something.

#include "base/sync_wait.h"
#include "component/echo/bench/systems.h"
#include "sdk/component/env.h"

#include <array>

namespace bulkhead::echo {

class Operator
{
private:
	linux_host::Loop _loop{};
	component::Env _env{_loop};

	static Task<int> _ask(Job &job, component::Env &env, std::string_view target,
		std::string_view service, std::string &text)
	{
		qrexec::Loop_channel channel(env.loop());
		CO_TRY(co_await env.call(job, target, service, channel));
		CO_TRY(co_await channel.finish(job));
		std::array<uint8_t, 256> buffer;
		while (true) {
			CO_TRY_ASSIGN(size_t const n, co_await channel.read(job, buffer));
			if (n == 0) break;
			text += text_of(std::span(buffer).first(n));
		}
		co_return co_await channel.exit_code(job);
	}

public:
	/* By the operator's connection to a broker; false: it is none. */
	bool connect(linux_host::Owned_fd gate)
	{
		if (!_env.start(std::move(gate), "dom0")) return false;
		_loop.stop();
		return _env.run() == 0;
	}

	/* What a service has said; or what was wrong. */
	std::string call(std::string_view target, std::string_view service)
	{
		Job_with_arena<16384> job(_loop.executor());
		std::string text;
		auto const code = sync_wait(job, _ask(job, _env, target, service, text), _loop);
		if (!code.ok()) text += name_of(code.error());
		return text;
	}
};

} // namespace bulkhead::echo
