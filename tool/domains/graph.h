#pragma once

// `bulkhead graph`: the running composition as a picture in SVG: domains as boxes with their state
// and services, callers left of those they call, live calls as arrows, refusals dashed and red.

#include "tool/domains/status.h"

#include <map>
#include <set>

namespace bulkhead::tool {

struct Composition_options
{
	std::string system{};
	std::string output{}; // empty: standard output
	bool json = false;
};

/* What a picture shows. The same status gives the same, whatever the order in it. */
struct Composition
{
	struct Node
	{
		std::string state{}; // empty: the operator, or a name that is no domain's
		std::vector<std::string> services{};
		std::set<std::string> needs{};
		bool exists = true;
	};
	using Ends = std::pair<std::string, std::string>; // from, to
	using Services = std::map<std::string, uint64_t>; // with how often

	std::string system{};
	std::map<std::string, Node> nodes{};
	std::map<Ends, Services> calls{};
	std::map<Ends, Services> refusals{};
};

Composition composition_of(Status const &status);

std::string svg_of(Composition const &composition);
std::string json_of(Composition const &composition);

/* Returns the exit code. */
int draw_composition(Composition_options const &options);

} // namespace bulkhead::tool
