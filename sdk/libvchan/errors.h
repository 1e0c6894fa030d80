#pragma once

// Errors as C programs see them: a number of <errno.h>, and a text that is kept for those who ask.

#include "vchan/error.h"

#include <string_view>

namespace bulkhead::sdk {

/* The number for what an end of a channel answers. WOULD_BLOCK is EAGAIN. */
int errno_of(vchan::Error);

/*
 * Keeps the text of what failed last in this thread, for `bulkhead_vchan_last_error`; with
 * BULKHEAD_VCHAN_DEBUG=1 it is told on standard error, too.
 */
void note_error(int number, std::string_view text);

/* The text; empty if nothing has failed. */
char const *noted_error();

} // namespace bulkhead::sdk
