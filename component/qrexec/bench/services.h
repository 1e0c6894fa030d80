#pragma once

// Services that are running programs, each in a process of its own behind a unix socket, by the
// library; and the other end of a plain pipe or socket, to compare with.

#include "component/qrexec/bench/domains.h"

#include <functional>

namespace bulkhead::bench {

/* Runs this in a process of its own, which ends with this object, or with this process. */
Running in_another_process(std::function<void()> const &what);

/* Sends back what it gets in one piece, and ends the call. */
Running serve_questions(std::string const &socket);

/* Reads to the end, or sends so many bytes. */
Running serve_drain(std::string const &socket);
Running serve_source(std::string const &socket, uint64_t bytes);

/* Blocking. */
void pour(int fd, uint64_t bytes);
uint64_t drain(int fd);

} // namespace bulkhead::bench
