#pragma once

// A system that runs in a test: a manifest in a directory of its own, the broker as it is
// installed, and an operator.

#include "domain/gate/message.h"
#include "platform/linux/gate.h"
#include "platform/linux/loop.h"
#include "platform/linux/vchan/channel.h"

#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

namespace bulkhead::broker::test {

/* A connection of the operator's. */
class Operator
{
private:
	linux_host::Gate _gate{};

	void _send(uint32_t type, Bytes body);
	bool _receive(uint32_t &type, std::string &body, std::span<linux_host::Owned_fd> descriptors);

public:
	explicit Operator(std::string const &socket);

	bool connected() const { return _gate.fd() >= 0; }

	struct Answer
	{
		int error = -1;
		std::string text{};
		linux_host::Owned_fd descriptor{};
	};
	Answer ask(domain::Admin what, std::string_view about = {});
	nlohmann::json status();
	/* Of one domain, or null. */
	nlohmann::json status_of(std::string_view domain);

	/* The end of a call; without memory if it was refused. */
	linux_host::Channel_end call(std::string_view target, std::string_view service);
};

class System : public testing::Test
{
private:
	pid_t _broker = -1;

protected:
	std::string directory{};
	std::string extra{}; // what is put into [system]

	void SetUp() override;
	void TearDown() override;

	std::string path(std::string_view name) const { return directory + "/" + std::string(name); }
	std::string socket() const { return path("run/test/control"); }
	void write_file(std::string_view name, std::string_view text) const;
	std::string read_file(std::string_view name) const;
	void write_manifest(std::string_view domains) const;

	/* Starts the broker; true once it is ready. */
	bool start(std::vector<std::string> const &more = {});
	bool start_with(std::string_view domains)
	{
		write_manifest(domains);
		return start();
	}
	/* The exit code of the broker that has been started, after its end. */
	int exit_code();
	int stop();
	/* Starts one, and waits for its end. */
	int run(std::vector<std::string> const &more = {});
	std::string said() const { return read_file("said"); }
	void signal(int number) const;

	/* Waits until so; false after a long time. */
	static bool until(std::function<bool()> const &so);
	bool until_state(Operator &, std::string_view domain, std::string_view state);

	/* Carries a call out, with nothing to read for the service: what it writes. */
	static std::string outcome(linux_host::Channel_end end, int &exit_code);

	static bool alive(int64_t pid);
};

} // namespace bulkhead::broker::test
