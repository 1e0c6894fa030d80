#pragma once

// Whole domains: each with an agent, a daemon on the host, and the policy daemon between them. Only
// what calls and what is called is the test.

#include "component/qrexec/test/world.h"

namespace bulkhead::qrexec::test {

class Domains
{
private:
	World &_world;
	std::vector<std::string> _names{};

public:
	explicit Domains(World &world) : _world(world) {}

	Domain const host{_world.domain(0, "dom0")};

	/* Starts its agent and its daemon, and waits until it can be called. */
	struct Running
	{
		Domain domain;
		Process *agent;
		Process *daemon;
	};
	Running start(int id, std::string const &name);
	Process &start_daemon(Domain const &domain);

	/* Domains that the policy daemon knows; after all of them were started, or named. */
	void name(std::string const &name) { _names.push_back(name); }
	Process &start_policy(std::string const &rules, std::vector<std::string> const &options = {});

	/* A program in a domain calls. */
	struct Result
	{
		int exit_code;
		std::string out;
		std::string errors;

		bool operator==(Result const &) const = default;
	};
	Result call(Domain const &from, std::string const &target, std::string const &service,
		std::string const &input = {});
	/* The host runs a command, or calls a service, in a domain. */
	Result host_call(
		std::string const &target, std::string const &command, std::string const &input = {});
	/* Of a program that was started. */
	static Result result(Client &client, std::string const &input = {});
};

void PrintTo(Domains::Result const &result, std::ostream *to);

} // namespace bulkhead::qrexec::test
