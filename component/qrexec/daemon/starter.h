#pragma once

// Calls to domains that don't run yet, and to disposables that don't exist yet: a process of its
// own has qubesd start or make them, asks their daemon, and says what to connect to. It ends a
// disposable when its call has ended, even if the daemon that started it is gone by then.

#include "component/qrexec/daemon/settings.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"
#include "rpc/qrexec/message.h"

#include <optional>

namespace bulkhead::qrexec {

/* What "@dispvm:NAME" is made from; nothing if a target is no disposable. */
std::optional<std::string_view> template_of_disposable(std::string_view target);

class Starter final : private linux_host::Loop::Source
{
public:
	class Waiter
	{
	protected:
		~Waiter() = default;

	public:
		/* Domain and port of the call; nothing if it couldn't be, as was said. */
		virtual void domain_started(std::optional<Exec_params> answer) = 0;
	};

private:
	linux_host::Loop &_loop;
	Waiter &_waiter;
	linux_host::Owned_fd _pipe{};

	void ready(uint32_t events) override;

public:
	Starter(linux_host::Loop &loop, Waiter &waiter) : _loop(loop), _waiter(waiter) {}
	~Starter() { _loop.remove(*this); }

	/*
	 * Starts `target`, makes it first if it is "@dispvm:…", and asks its daemon to run `command`.
	 * False: there can be no process for that.
	 */
	bool start(Settings const &settings, std::string const &target, std::string const &command);
};

} // namespace bulkhead::qrexec
