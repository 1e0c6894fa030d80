#pragma once

// What a test of the programs lives in: a folder of its own, domains with services, the programs
// that were started, and the certainty that nothing is left when it ends.

#include "component/qrexec/test/wire.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <list>
#include <string>
#include <vector>

namespace bulkhead::qrexec::test {

/* What a process that was killed "returns". */
inline constexpr int KILLED = 1000; // + the signal

/* A program that runs. It doesn't outlive the test. */
class Process
{
private:
	pid_t _pid = -1;
	Owned_fd _handle{};
	int _code = -1;
	bool _reaped = false;

public:
	struct Streams
	{
		Owned_fd in{};
		Owned_fd out{};
		Owned_fd err{};
	};

	Process(std::vector<std::string> const &command, std::vector<std::string> const &environment,
		Streams streams);
	Process(Process const &) = delete;
	Process &operator=(Process const &) = delete;
	~Process();

	pid_t pid() const { return _pid; }
	/* Waits for its end. */
	int exit_code();
	bool running();
	void signal(int number) const;
	/* Descriptors that it has open. */
	size_t descriptors() const;
	/* Processes whose parent it is. */
	std::vector<pid_t> children() const;
};

/* A domain, or the host (id 0): a folder with services, settings and the agent's socket. */
struct Domain
{
	int id;
	std::string name;
	std::string folder{};

	std::string agent_socket() const { return folder + "/agent.sock"; }
};

/* A program with its standard streams in our hands. */
struct Client
{
	Process *process = nullptr;
	Wire in{}; // what it reads
	Wire out{};
	std::string log{}; // file: what it writes to standard error

	std::string errors() const;
};

class World
{
private:
	std::string const _transport;
	std::string const _top;
	std::list<Process> _processes{};
	unsigned _number = 0;

public:
	explicit World(char const *transport);
	World(World const &) = delete;
	World &operator=(World const &) = delete;
	/* Stops what runs; whatever is left then is a failure. */
	~World();

	char const *transport() const { return _transport.c_str(); }
	std::string path(std::string const &name) const { return _top + "/" + name; }
	/* Where domains meet, and where daemons have their sockets. */
	std::string vchan_directory() const { return path("vchan"); }
	std::string socket_directory() const { return path("run"); }
	std::string policy_socket() const { return path("policy.sock"); }

	Domain domain(int id, std::string const &name) const;
	std::vector<std::string> environment(
		Domain const &domain, std::vector<std::string> const &more = {}) const;

	/* A service of a domain in its folder `where` ("rpc", "local-rpc"), run by /bin/sh. */
	void script(
		Domain const &domain, char const *where, std::string const &name, std::string const &text);
	/* A file as it is; a setting of a service ("rpc-config"). */
	void file(
		Domain const &domain, char const *where, std::string const &name, std::string const &text);

	/* Standard input is empty, standard output and error are in a log. */
	Process &start(std::vector<std::string> const &command, Domain const &domain,
		std::vector<std::string> const &more_environment = {});
	/* With pipes, or one socket for standard input and output: its other end is ours. */
	Client start_client(std::vector<std::string> const &command, Domain const &domain,
		std::vector<std::string> const &more_environment = {});
	Client start_client_on_socket(
		std::vector<std::string> const &command, Domain const &domain, Owned_fd socket);
	/* Ends it, whatever it does. */
	void kill(Process &process);
	void stop(Process &process);
	/* Everything that was written to logs so far. */
	std::string logs() const;

	/* The programs, as a domain or a host has them. */
	Process &start_agent(Domain const &domain, std::vector<std::string> const &options = {});
	Process &start_daemon(Domain const &domain, std::vector<std::string> const &options = {});
	Client start_client_vm(Domain const &domain, std::vector<std::string> const &arguments);
	Client start_host_client(std::vector<std::string> const &arguments);
	std::vector<std::string> client_vm_command(
		Domain const &domain, std::vector<std::string> const &arguments) const;
	std::vector<std::string> host_client_command(std::vector<std::string> const &arguments) const;

	/* Ends of vchans that the test holds. */
	Wire vchan_server(int own, int peer, int port, size_t ring = 65536) const;
	Wire vchan_client(int own, int peer, int port) const;

	/* A pipe or fifo between a service and the test. */
	std::string fifo(std::string const &name) const;
};

/* Paths of the programs. */
extern std::string const AGENT;
extern std::string const CLIENT_VM;
extern std::string const DAEMON;
extern std::string const HOST_CLIENT;
extern std::string const FORK_SERVER;
extern std::string const POLICY_DAEMON;

/* The user that runs the test: commands are run as this one. */
std::string me();

/* Opens a fifo for writing, which lets its reader go on, and writes. */
void release(std::string const &fifo, std::string const &text = "\n");

std::string contents(std::string const &path);

/* Opens a fifo for reading, which lets its writer go on, and reads what it writes. */
std::string drained(std::string const &fifo);

/* What takes part in a test of one program: the parameter is the transport. */
class Programs : public testing::TestWithParam<char const *>
{
protected:
	World world{GetParam()};
};

inline std::string transport_name(testing::TestParamInfo<char const *> const &info)
{
	return info.param;
}

} // namespace bulkhead::qrexec::test
