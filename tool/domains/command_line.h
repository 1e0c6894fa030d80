#pragma once

// The command line of what concerns running systems: run, ps, call, logs, start, stop, restart,
// reload, mount, top and graph.

#include "tool/domains/call.h"
#include "tool/domains/graph.h"
#include "tool/domains/life.h"
#include "tool/domains/logs.h"
#include "tool/domains/mount.h"
#include "tool/domains/run.h"
#include "tool/domains/show.h"

#include <CLI/CLI.hpp>

namespace bulkhead::tool {

class Domains_command_line
{
private:
	CLI::App &_app;
	Run_options _run{};
	Ps_options _ps{};
	Call_options _call{};
	Logs_options _logs{};
	Life_options _life{};
	bool _all = false;
	Mount_options _mount{};
	Top_options _top{};
	Composition_options _graph{};
	std::string _system{}; // of whichever it is

	CLI::App *_run_command = nullptr;
	CLI::App *_ps_command = nullptr;
	CLI::App *_call_command = nullptr;
	CLI::App *_logs_command = nullptr;
	CLI::App *_start_command = nullptr;
	CLI::App *_stop_command = nullptr;
	CLI::App *_restart_command = nullptr;
	CLI::App *_reload_command = nullptr;
	CLI::App *_mount_command = nullptr;
	CLI::App *_top_command = nullptr;
	CLI::App *_graph_command = nullptr;

	CLI::App *_describe(char const *name, char const *text, char const *example, char const *exits);
	void _describe_run();
	void _describe_call();
	void _describe_life();
	void _describe_mount();
	void _describe_shows();
	int _change_life();

public:
	/* The application outlives it. */
	explicit Domains_command_line(CLI::App &);

	/* Takes what follows `--` of `call`: the local program. What is left is to be parsed. */
	void take_command(std::vector<std::string> &arguments);

	/* Whether it is one of these that was asked for. */
	explicit operator bool() const;

	/* Returns the exit code. */
	int run();
};

} // namespace bulkhead::tool
