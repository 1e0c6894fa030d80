#include "component/echo/bench/operator.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace bulkhead::echo {
namespace {

namespace fs = std::filesystem;
using linux_host::Owned_fd;

constexpr char MANIFEST[] = R"([system]
name = "bench"
permit_weaker = ["memory_limit", "cpu_limit", "process_limit"]
rules = """
sign.Document * work vault allow
sign.Document * @anyvm @anyvm deny
bulkhead.File * web disk allow
bulkhead.Echo * web vault deny
bulkhead.Echo * work vault allow
bulkhead.Caller * dom0 work allow
* * @anyvm @anyvm deny
"""

[domain.work]
component = "echo"
services = ["bulkhead.Caller"]

[domain.vault]
component = "echo"
services = ["bulkhead.Echo"]
)";

std::string text_of(fs::path const &path)
{
	std::ifstream file(path);
	return {std::istreambuf_iterator<char>(file), {}};
}

/* Those of a process and all below it that are this domain, or that are none. */
void find(pid_t process, std::string const &domain, std::vector<pid_t> &found)
{
	std::string const of = "/proc/" + std::to_string(process);
	std::string const environment = text_of(of + "/environ");
	std::string const variable = "BULKHEAD_DOMAIN=";
	bool const any = environment.find(variable) != environment.npos;
	if (domain.empty() ? !any : environment.find(variable + domain) != environment.npos)
		found.push_back(process);
	std::ifstream children(of + "/task/" + std::to_string(process) + "/children");
	for (pid_t child; children >> child;) find(child, domain, found);
}

class Real_system final : public System
{
private:
	fs::path const _place;
	pid_t _keeper = -1;
	Operator _operator{};

	std::vector<pid_t> _of(std::string const &domain) const
	{
		std::vector<pid_t> found;
		find(_keeper, domain, found);
		return found;
	}

	double _run_us(std::string const &domain) const
	{
		double us = 0;
		for (pid_t const process : _of(domain)) us += run_us(process);
		return us;
	}

	void _start(fs::path const &broker)
	{
		int ready[2];
		if (pipe(ready) != 0) std::abort();
		std::string const manifest = _place / "bench.toml";
		std::string const run = "--run-dir=" + (_place / "run").string();
		std::string const ready_fd = "--ready-fd=" + std::to_string(ready[1]);
		_keeper = fork();
		if (_keeper == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			close(ready[0]);
			execl(broker.c_str(), broker.c_str(), ready_fd.c_str(), run.c_str(), manifest.c_str(),
				nullptr);
			_exit(1);
		}
		close(ready[1]);
		char said[16]{};
		bool const runs = read(ready[0], said, sizeof(said)) > 0;
		close(ready[0]);
		if (!runs) std::abort();
	}

	Owned_fd _connect() const
	{
		Owned_fd control(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		std::string const path = _place / "run/bench/control";
		std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
		auto const *const to = reinterpret_cast<sockaddr const *>(&address);
		if (connect(control.value(), to, sizeof(address)) != 0) std::abort();
		return control;
	}

public:
	Real_system(fs::path const &broker, fs::path place) : _place(std::move(place))
	{
		fs::create_directories(_place);
		std::ofstream(_place / "bench.toml") << MANIFEST;
		_start(broker);
		if (!_operator.connect(_connect())) std::abort();
	}

	~Real_system() override
	{
		kill(_keeper, SIGTERM);
		waitpid(_keeper, nullptr, 0);
		fs::remove_all(_place);
	}

	char const *name() const override { return "bulkhead-broker with a policy, sandboxed domains"; }

	std::string call(std::string_view target, std::string_view service) override
	{
		return _operator.call(target, service);
	}

	std::vector<Process> processes() override
	{
		return {{"work", _run_us("work")}, {"vault", _run_us("vault")},
			{"broker and keeper", _run_us({})}};
	}

	void pin(Placement placement) override
	{
		for (pid_t const process : _of("work")) echo::pin(placement, 0, process);
		for (pid_t const process : _of("vault")) echo::pin(placement, 1, process);
		for (pid_t const process : _of({})) echo::pin(placement, 2, process);
	}
};

} // namespace

std::unique_ptr<System> real_system(std::string const &directory)
{
	fs::path const here = fs::read_symlink("/proc/self/exe").parent_path();
	fs::path const broker = here.parent_path() / "broker/bulkhead-broker";
	if (!fs::exists(broker)) return nullptr;
	return std::make_unique<Real_system>(broker, fs::path(directory) / "system");
}

} // namespace bulkhead::echo
