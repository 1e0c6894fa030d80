#include "component/echo/bench/operator.h"
#include "component/echo/caller.h"
#include "component/echo/streams.h"
#include "sdk/component/test/fake_broker.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace bulkhead::echo {
namespace {

using linux_host::Loop;
using linux_host::Owned_fd;

[[noreturn]] void be_component(Owned_fd gate, std::string name)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	Loop loop;
	component::Env env(loop);
	if (!env.start(std::move(gate), std::move(name))) _exit(env.fail());
	Echo echo;
	Caller caller(env);
	env.serve("bulkhead.Echo", echo);
	env.serve("bulkhead.Caller", caller);
	_exit(env.run());
}

class Fake_system final : public System
{
private:
	pid_t _broker = -1, _work = -1, _vault = -1;
	Operator _operator{};

public:
	Fake_system()
	{
		Owned_fd gates[3];
		// The broker is the parent of none: it makes the gates, and each takes its own.
		auto loop = std::make_unique<Loop>();
		auto broker = std::make_unique<component::Fake_broker>(*loop);
		broker->ring_bytes = 512 * 1024;
		gates[0] = broker->add("work");
		gates[1] = broker->add("vault");
		gates[2] = broker->add("dom0");
		_work = fork();
		if (_work == 0) be_component(std::move(gates[0]), "work");
		_vault = fork();
		if (_vault == 0) be_component(std::move(gates[1]), "vault");
		_broker = fork();
		if (_broker == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (Owned_fd &gate : gates) gate.reset();
			loop->run();
			_exit(0);
		}
		if (!_operator.connect(std::move(gates[2]))) std::abort();
	}

	~Fake_system() override
	{
		for (pid_t const process : {_work, _vault, _broker}) {
			kill(process, SIGKILL);
			waitpid(process, nullptr, 0);
		}
	}

	char const *name() const override { return "a broker that decides nothing"; }

	std::string call(std::string_view target, std::string_view service) override
	{
		return _operator.call(target, service);
	}

	std::vector<Process> processes() override
	{
		return {{"work", run_us(_work)}, {"vault", run_us(_vault)}, {"broker", run_us(_broker)}};
	}

	void pin(Placement placement) override
	{
		echo::pin(placement, 0, _work);
		echo::pin(placement, 1, _vault);
		echo::pin(placement, 2, _broker);
	}
};

} // namespace

std::unique_ptr<System> fake_system() { return std::make_unique<Fake_system>(); }

} // namespace bulkhead::echo
