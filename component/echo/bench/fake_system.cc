#include "base/sync_wait.h"
#include "component/echo/bench/systems.h"
#include "component/echo/caller.h"
#include "component/echo/streams.h"
#include "sdk/component/test/fake_broker.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sched.h>
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

void pin_process(pid_t process, Placement placement, unsigned side)
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	if (side < 2) CPU_SET(placement == Placement::ONE_CPU ? 0 : side, &cpus);
	if (side == 2) CPU_SET(0, &cpus);
	if (side == 2 && placement == Placement::TWO_CPUS) CPU_SET(1, &cpus);
	sched_setaffinity(process, sizeof(cpus), &cpus);
}

double run_us(pid_t process)
{
	std::ifstream file("/proc/" + std::to_string(process) + "/schedstat");
	double ns = 0;
	file >> ns;
	return ns / 1000;
}

class Fake_system final : public System
{
private:
	pid_t _broker = -1, _work = -1, _vault = -1;
	Loop _loop{};
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
	Fake_system()
	{
		Owned_fd gates[3];
		int pipe_ends[2];
		if (pipe(pipe_ends) != 0) std::abort();
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
		if (!_env.start(std::move(gates[2]), "dom0")) std::abort();
		_loop.stop();
		_env.run();
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
		Job_with_arena<16384> job(_loop.executor());
		std::string text;
		auto const code = sync_wait(job, _ask(job, _env, target, service, text), _loop);
		if (!code.ok()) text += name_of(code.error());
		return text;
	}

	std::vector<Process> processes() override
	{
		return {{"work", run_us(_work)}, {"vault", run_us(_vault)}, {"broker", run_us(_broker)}};
	}

	void pin(Placement placement) override
	{
		pin_process(_work, placement, 0);
		pin_process(_vault, placement, 1);
		pin_process(_broker, placement, 2);
	}
};

} // namespace

char const *name_of(Placement placement)
{
	return placement == Placement::ONE_CPU ? "one CPU" : "two CPUs";
}

void pin(Placement placement, unsigned side) { pin_process(0, placement, side); }

std::unique_ptr<System> fake_system() { return std::make_unique<Fake_system>(); }

} // namespace bulkhead::echo
