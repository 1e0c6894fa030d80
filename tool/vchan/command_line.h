#pragma once

// The command line of `bulkhead vchan` and its subcommands.

#include "tool/vchan/bench.h"
#include "tool/vchan/ping.h"
#include "tool/vchan/relay.h"

#include <CLI/CLI.hpp>

namespace bulkhead::tool {

class Vchan_command_line
{
private:
	Channel_options _channel{};
	Relay_options _relay{};
	Ping_options _ping{};
	Bench_options _bench{};
	std::string _peer{};
	std::string _sizes{};
	std::string _cpus{};
	double _timeout_s = -1;
	bool _verbose = false;
	bool _json = false;
	bool _serve = false;

	CLI::App *_vchan = nullptr;
	CLI::App *_listen = nullptr;
	CLI::App *_connect = nullptr;
	CLI::App *_cat = nullptr;
	CLI::App *_ping_command = nullptr;
	CLI::App *_bench_command = nullptr;

	CLI::App *_describe(char const *name, char const *text, char const *peer);
	void _add_size(CLI::App *);
	void _describe_relay(CLI::App *, bool command);
	void _describe_ping();
	void _describe_bench();
	Narrator::Form _form() const;

public:
	/* The application outlives it. */
	explicit Vchan_command_line(CLI::App &);

	/*
	 * Takes what follows `--`, if that is a command to be run. What is left is to be parsed. Throws
	 * what the C++ library throws.
	 */
	void take_command(std::vector<std::string> &arguments);

	/* Whether it is this that was asked for. */
	explicit operator bool() const { return _vchan->parsed(); }

	/* Returns the exit code. */
	int run();
};

} // namespace bulkhead::tool
