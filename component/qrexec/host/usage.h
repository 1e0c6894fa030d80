#pragma once

// What the programs say of themselves, and when they are used wrongly: all in the same words.

#include "component/qrexec/host/log.h"

namespace bulkhead::qrexec {

/* On standard output. */
void print(std::string_view text);

/* For --version. */
void print_version();

/* Where all is said that can be. */
void log_where_help_is();

/* Before getopt_long, so that what it says begins as our own lines do. */
void name_program_for_getopt(char **argv);

/* Says what is wrong with a command line, and returns the exit code. */
template <Formattable... ARGS>
int wrong_use(int exit_code, ARGS const &...args)
{
	log(args...);
	log_where_help_is();
	return exit_code;
}

/* Whether standard input is one, as --use-stdin-socket wants it. False was said. */
bool stdin_is_stream_socket();

} // namespace bulkhead::qrexec
