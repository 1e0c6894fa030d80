#include "component/qrexec/bench/domains.h"

#include "component/qrexec/bench/spawned.h"
#include "sdk/libvchan/bench/measure.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

namespace fs = std::filesystem;

constexpr unsigned OTHER_RULES = 327; // as many as a usual system has, before ours

std::string user()
{
	passwd const *const who = getpwuid(getuid());
	return who ? who->pw_name : "root";
}

} // namespace

Running::~Running()
{
	if (_process < 0) return;
	kill(_process, SIGTERM);
	waitpid(_process, nullptr, 0);
}

Domains::Domains(std::string directory, char const *transport)
	: _directory(std::move(directory)), _transport(transport)
{
	for (char const *const name : {"", "/vchan", "/run", "/policy", "/host", "/work", "/vault"})
		if (mkdir((_directory + name).c_str(), 0700) != 0) give_up(_directory + name);
	_start_domain(WORK);
	_start_domain(VAULT);
	_start_policy();
	for (char const *const name : {"run/qrexec.work", "run/qrexec.vault", "policy.sock"})
		await_socket(path(name));
}

Domains::~Domains()
{
	_running.clear();
	std::error_code ignored;
	fs::remove_all(_directory, ignored);
}

std::string Domains::_name_of(Domain_id id) const
{
	return id == HOST ? "host" : id == WORK ? "work" : "vault";
}

std::string Domains::service(Domain_id id, std::string const &name) const
{
	return path(_name_of(id)) + "/" + name;
}

void Domains::script(Domain_id id, std::string const &name, std::string const &text) const
{
	std::string const file = service(id, name);
	std::ofstream(file) << "#!/bin/sh\n" << text;
	if (chmod(file.c_str(), 0755) != 0) give_up(file);
}

std::vector<std::string> Domains::environment(Domain_id id) const
{
	std::vector<std::string> all{"VCHAN_DOMAIN=" + std::to_string(id),
		"QREXEC_SERVICE_PATH=" + path(_name_of(id)), "QUBES_RPC_CONFIG_PATH=" + path("no-config"),
		"QREXEC_POLICY_SOCKET=" + path("policy.sock"), "QREXEC_NO_ROOT=1"};
	if (_transport == "socket") {
		all.push_back("VCHAN_SOCKET_DIR=" + path("vchan"));
	} else {
		all.push_back("BULKHEAD_VCHAN=" + _transport);
		all.push_back("BULKHEAD_VCHAN_DIR=" + path("vchan"));
	}
	for (char const *const name : {"PATH", "HOME", "USER"})
		if (char const *const value = getenv(name))
			all.push_back(name + ("=" + std::string(value)));
	return all;
}

void Domains::_start(std::vector<std::string> const &command, Domain_id id)
{
	linux_host::Owned_fd const in(open("/dev/null", O_RDWR | O_CLOEXEC));
	linux_host::Owned_fd const log(
		open(path("log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	_running.emplace_back(spawn(command, environment(id), {in.value(), log.value(), log.value()}));
}

void Domains::_start_domain(Domain_id id)
{
	_start(
		{QREXEC_AGENT, "--no-fork-server", "--agent-socket=" + path(_name_of(id) + "/agent.sock")},
		id);
	_start({QREXEC_DAEMON, "--direct", "--socket-dir=" + path("run"), std::to_string(id),
			   _name_of(id), user()},
		HOST);
}

void Domains::_start_policy()
{
	std::ofstream rules(path("policy/30-bench.policy"));
	for (unsigned i = 0; i < OTHER_RULES; ++i)
		rules << "other.Service" << i % 40 << " +argument" << i << " @tag:some @anyvm ask\n";
	rules << "bench.Service * work vault allow\nbench.True * work vault allow\n";
	rules.close();
	std::ofstream(path("domains.json"))
		<< R"({"domains":{"dom0":{"type":"AdminVM","tags":[],"power_state":"Running",)"
		   R"("uuid":"00000000-0000-0000-0000-000000000000"},)"
		   R"("work":{"type":"AppVM","tags":[],"power_state":"Running",)"
		   R"("uuid":"3b1c4b1e-0000-4000-8000-000000000005"},)"
		   R"("vault":{"type":"AppVM","tags":[],"power_state":"Running",)"
		   R"("uuid":"3b1c4b1e-0000-4000-8000-000000000007"}}})";
	_start({QREXEC_POLICY_DAEMON, "--policy-path=" + path("policy"),
			   "--socket-path=" + path("policy.sock"), "--eval-socket-path=" + path("eval.sock"),
			   "--gui-socket-path=" + path("gui.sock"), "--system-info=" + path("domains.json"),
			   "--service-path=" + path("host"), "--compat-path=" + path("no-compat")},
		HOST);
}

qrexec::Wanted_call Domains::call(Domain_id by, std::string const &service) const
{
	bool const host = by == HOST;
	return {.way = host ? qrexec::Wanted_call::Way::DAEMON : qrexec::Wanted_call::Way::AGENT,
		.socket = host ? path("run") : path("work/agent.sock"),
		.target = "vault",
		.service = service,
		.user = host ? user() : "",
		.transport = _transport,
		.directory = path("vchan"),
		.own_domain = by};
}

std::vector<std::string> Domains::host_command(std::string const &command) const
{
	return {QREXEC_CLIENT, "--socket-dir=" + path("run"), "-d", "vault", user() + ":" + command};
}

std::vector<std::string> Domains::host_call(std::string const &service) const
{
	return host_command("QUBESRPC " + service + " dom0");
}

std::vector<std::string> Domains::work_call(std::string const &service) const
{
	return {QREXEC_CLIENT_VM, "--agent-socket=" + path("work/agent.sock"), "vault", service};
}

} // namespace bulkhead::bench
