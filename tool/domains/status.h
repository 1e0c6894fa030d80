#pragma once

// What a broker says of its system, as plain values (doc/domains.md has the JSON).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::tool {

struct Domain_status
{
	std::string name{};
	std::string component{}; // empty: ordinary programs
	std::string state{};
	int64_t pid = 0;
	uint64_t starts = 0;
	std::string last_end{};
	uint64_t since_us = 0; // of the state
	std::vector<std::string> tags{};
	std::vector<std::string> needs{};
	std::vector<std::string> services{};
	uint64_t calls_made = 0;
	uint64_t calls_served = 0;
	uint64_t calls_refused = 0;
	uint64_t live = 0;
	std::string log{};
	uint64_t memory_bytes = 0;

	bool running() const { return state == "running"; }
};

struct Live_call
{
	std::string caller{};
	std::string target{};
	std::string service{};
	uint64_t since_us = 0;
};

struct Refused_calls
{
	std::string caller{};
	std::string target{};
	std::string service{};
	std::string reason{};
	uint64_t count = 0;
	uint64_t last_us = 0;
};

struct Status
{
	std::string system{};
	int64_t pid = 0;
	std::string manifest{};
	std::string logs{};
	std::string policy{};
	uint64_t now_us = 0; // of the broker's clock, as all times here
	uint64_t since_us = 0;
	std::vector<std::string> weaker{};
	std::vector<Domain_status> domains{};
	std::vector<Live_call> calls{};
	std::vector<Refused_calls> refusals{};

	Domain_status const *find(std::string_view name) const;
};

/* What isn't there keeps its default; nothing: it is no JSON. */
std::optional<Status> read_status(std::string_view json);

/* A text as JSON has it, in quotes. */
std::string json_text(std::string_view text);

} // namespace bulkhead::tool
