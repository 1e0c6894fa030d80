#pragma once

// The calls that were refused lately, for the operator: their callers aren't told why.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace bulkhead::domain {

inline constexpr size_t REFUSALS_MAX = 64; // distinct ones that are remembered
inline constexpr ptrdiff_t REFUSALS_OF_ONE = 16; // of one caller
inline constexpr unsigned REFUSAL_LINES_MAX = 10; // in the log, of one caller a second
inline constexpr size_t NAME_SHOWN_MAX = 64; // of a service's name

struct Refused
{
	std::string caller;
	std::string target; // as the caller wrote it, or where the policy sent it
	std::string service;
	std::string reason;
	bool operator==(Refused const &) const = default;
};

struct Refusal : Refused
{
	uint64_t count = 1;
	uint64_t last_us = 0;
};

/* Of one caller, in the log. */
struct Refusal_lines
{
	uint64_t since_us = 0; // when the second began of which they are counted
	unsigned count = 0;
};

class Refusals
{
private:
	std::deque<Refusal> _all{}; // the last is the newest

public:
	/* Names may have anything in them. What is returned is for the log. */
	std::vector<std::string> add(Refused refused, Refusal_lines &lines, uint64_t now_us);

	std::deque<Refusal> const &all() const { return _all; }
};

} // namespace bulkhead::domain
