#pragma once

// `bulkhead completion`: what a shell needs to complete the command's arguments.

#include <string_view>

namespace bulkhead::tool {

/* Prints the script for "bash" or "zsh"; returns the exit code. */
int print_completion(std::string_view shell);

} // namespace bulkhead::tool
