#pragma once

// An agent, its daemon's end of the control connection, and a caller's end of a data connection:
// both are the test.

#include "component/qrexec/test/world.h"

namespace bulkhead::qrexec::test {

class Agent_programs : public Programs
{
protected:
	static constexpr int OWN = 42;
	static constexpr int CALLER = 43;
	static constexpr int CALL_PORT = 1024;

	Domain vm = world.domain(OWN, "vm");
	Process *agent = nullptr;
	Wire host{};

	void start_agent(uint32_t version = 4)
	{
		agent = &world.start_agent(vm);
		host = world.vchan_client(0, OWN, 512);
		host.greet(version);
	}

	void ask_for(uint32_t type, std::string const &command, int port = CALL_PORT)
	{
		uint32_t const caller = CALLER;
		host.send(type, packed({caller, static_cast<uint32_t>(port)}) + command + '\0');
	}

	/* The caller's end of the call. */
	Wire caller(int port = CALL_PORT, uint32_t version = 4)
	{
		Wire wire = world.vchan_server(CALLER, OWN, port);
		wire.accept();
		wire.greet(version);
		return wire;
	}

	/* A command of the user's shell, or a service with what follows it. */
	Wire run(std::string const &command)
	{
		if (!agent) start_agent();
		ask_for(EXEC_CMDLINE, me() + ":" + command);
		return caller();
	}

	Wire call(std::string const &service, std::string const &source = "domX")
	{
		return run("QUBESRPC " + service + " " + source);
	}

	/* The daemon is told that the call is over. */
	void expect_terminated(int port = CALL_PORT)
	{
		uint32_t const caller = CALLER;
		EXPECT_EQ(host.receive(),
			(Message{CONNECTION_TERMINATED, packed({caller, static_cast<uint32_t>(port)})}));
	}

	static Output output(std::string const &out, std::string const &err = {}, uint32_t code = 0)
	{
		return {out, err, true, true, code};
	}
};

} // namespace bulkhead::qrexec::test
