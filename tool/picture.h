#pragma once

// What pictures in SVG have in common, whatever they show.

#include <string>
#include <string_view>

namespace bulkhead::tool {

/* With what XML takes for its own replaced. */
std::string xml_text(std::string_view text);

/* To a file, or to standard output if `path` is empty; says what went wrong. The exit code. */
int write_picture(std::string const &path, std::string_view text);

} // namespace bulkhead::tool
