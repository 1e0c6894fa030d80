#pragma once

// The command line of `bulkhead policy` and its subcommands.

#include "tool/policy/check.h"
#include "tool/policy/explain.h"
#include "tool/policy/graph.h"

#include <CLI/CLI.hpp>

namespace bulkhead::tool {

class Policy_command_line
{
private:
	Check_options _check{};
	Explain_options _explain{};
	Graph_options _graph{};

	CLI::App *_policy = nullptr;
	CLI::App *_check_command = nullptr;
	CLI::App *_explain_command = nullptr;
	CLI::App *_graph_command = nullptr;
	CLI::App *_eval_command = nullptr;

	void _describe_sources(CLI::App *, Policy_options &);
	void _describe_check();
	void _describe_explain();
	void _describe_graph();

public:
	/* The application outlives it. */
	explicit Policy_command_line(CLI::App &);

	/* Whether it is this that was asked for. */
	explicit operator bool() const { return _policy->parsed(); }

	/* Returns the exit code. */
	int run();
};

} // namespace bulkhead::tool
