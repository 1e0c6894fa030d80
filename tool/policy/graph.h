#pragma once

// `bulkhead policy graph`: who may call whom, as DOT or as a picture in SVG. The picture is laid
// out here: domains in a circle, so that nothing else must be installed.

#include "tool/policy/setting.h"

#include <map>
#include <set>

namespace bulkhead::tool {

struct Graph_options
{
	Policy_options policy{};
	std::string format = "dot"; // or svg
	std::string output{}; // empty: standard output
	std::vector<std::string> services{}; // only these; empty: all
	std::vector<std::string> sources{};
	std::vector<std::string> targets{};
	bool no_ask = false;
};

/* Who may call whom. `*` is a service that no rule names. */
struct Call_graph
{
	struct Services
	{
		std::set<std::string> allowed{};
		std::set<std::string> asked{};
	};

	std::map<std::pair<std::string, std::string>, Services> calls{}; // from, to
};

Call_graph call_graph(Policy_setting &setting, Graph_options const &options);

std::string dot_of(Call_graph const &graph);
std::string svg_of(Call_graph const &graph);

/* Returns the exit code. */
int draw_policy(Graph_options const &options);

} // namespace bulkhead::tool
