#include "component/qrexec/test/domains.h"

#include <filesystem>
#include <fstream>
#include <ostream>
#include <sys/stat.h>

namespace bulkhead::qrexec::test {

namespace fs = std::filesystem;

Process &Domains::start_daemon(Domain const &domain)
{
	// The link of its name is made last.
	std::string const socket = _world.socket_directory() + "/qrexec." + domain.name;
	Process &daemon = _world.start_daemon(domain);
	Wire::connect(socket).close(); // what a daemon that was killed has left doesn't count
	return daemon;
}

Domains::Running Domains::start(int id, std::string const &name)
{
	Domain const domain = _world.domain(id, name);
	Process &agent = _world.start_agent(domain);
	Process &daemon = start_daemon(domain);
	_names.push_back(name);
	return {domain, &agent, &daemon};
}

Process &Domains::start_policy(std::string const &rules, std::vector<std::string> const &options)
{
	std::string const folder = _world.path("policy");
	for (std::string const &made : {folder, folder + "/rules", folder + "/services"})
		mkdir(made.c_str(), 0755);
	std::ofstream(folder + "/rules/30-test.policy") << rules;
	std::ofstream system(folder + "/system.json");
	system << R"({"domains":{"dom0":{"type":"AdminVM","tags":[],"power_state":"Running",)"
		   << R"("uuid":"00000000-0000-0000-0000-000000000000"})";
	int number = 100;
	for (std::string const &name : _names)
		system << ",\"" << name << R"(":{"type":"AppVM","tags":[],"power_state":"Running",)"
			   << R"("uuid":"3b1c4b1e-0000-4000-8000-000000000)" << number++ << "\"}";
	system << "}}\n";
	system.close();
	std::vector<std::string> command{POLICY_DAEMON, "--policy-path=" + folder + "/rules",
		"--socket-path=" + _world.policy_socket(), "--eval-socket-path=" + folder + "/eval.sock",
		"--gui-socket-path=" + folder + "/gui.sock", "--system-info=" + folder + "/system.json",
		"--service-path=" + folder + "/services", "--compat-path=" + folder + "/compat"};
	command.insert(command.end(), options.begin(), options.end());
	Process &daemon = _world.start(command, host);
	Wire::connect(_world.policy_socket()).close();
	return daemon;
}

Domains::Result Domains::result(Client &client, std::string const &input)
{
	client.in.send_bytes(input);
	client.in.close();
	std::string out = client.out.receive_rest();
	int const code = client.process->exit_code();
	return {code, std::move(out), client.errors()};
}

Domains::Result Domains::call(Domain const &from, std::string const &target,
	std::string const &service, std::string const &input)
{
	Client client = _world.start_client_vm(from, {target, service});
	return result(client, input);
}

Domains::Result Domains::host_call(
	std::string const &target, std::string const &command, std::string const &input)
{
	Client client = _world.start_host_client({"-d", target, command});
	return result(client, input);
}

void PrintTo(Domains::Result const &result, std::ostream *to)
{
	*to << "{exit code " << result.exit_code << ", out \"" << result.out.substr(0, 200)
		<< "\", errors \"" << result.errors << "\"}";
}

} // namespace bulkhead::qrexec::test
