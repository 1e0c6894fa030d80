#pragma once

// `bulkhead ps` and `bulkhead top`: what runs, and what it does.

#include "tool/domains/status.h"

namespace bulkhead::tool {

struct Ps_options
{
	std::string system{};
	bool json = false;
	std::string services_of{}; // a domain: its services instead
};

struct Top_options
{
	std::string system{};
	double interval_s = 2;
	bool once = false;
	bool json = false;
};

/* The table of `ps`, with what deserves attention below it. */
std::string ps_text(Status const &status);

/* A view of `top`: rates are those since `before`, or since the broker began. */
std::string top_text(Status const &status, Status const *before);

/* The same for programs, in a line. */
std::string top_json(Status const &status, Status const *before);

/* Both return the exit code. */
int show_domains(Ps_options const &options);
int watch_domains(Top_options const &options);

} // namespace bulkhead::tool
