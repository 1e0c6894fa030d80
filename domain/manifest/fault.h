#pragma once

// What is wrong with a text that a person has written, and where; told with the line itself.

#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::domain {

/* Both count from 1; 0: none. */
struct Position
{
	unsigned line = 0;
	unsigned column = 0; // in characters
	bool operator==(Position const &) const = default;
};

struct Fault
{
	Position at;
	std::string problem; // half a sentence: "unknown key 'need' in [domain.tpm]"
	std::string remedy; // may be empty
};

/* A fault as people read it: file, line, column, the line itself and a mark below it. */
std::string describe(std::string_view path, std::string_view text, Fault const &fault);

/* All, in the order of the text. */
std::string describe_faults(
	std::string_view path, std::string_view text, std::vector<Fault> const &faults);

/* What is shown of a text of unknown origin: no control characters, and so many bytes at most. */
std::string printable(std::string_view text, size_t size_max = 160);

} // namespace bulkhead::domain
