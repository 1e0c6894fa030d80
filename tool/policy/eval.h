#pragma once

// `bulkhead policy eval`: decides calls that another program describes, a line of JSON for each.

#include <iosfwd>
#include <string>
#include <string_view>

namespace bulkhead::tool {

/* The answer to one line, without its end. What is wrong with the line is an answer, too. */
std::string evaluate_line(std::string_view line);

/* Answers each line at once, until the input ends; returns the exit code. */
int evaluate_lines(std::istream &from, std::ostream &to);

} // namespace bulkhead::tool
