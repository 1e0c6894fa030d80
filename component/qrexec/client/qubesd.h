#pragma once

// Questions to qubesd, which starts, makes and ends domains. They block, and take as long as that:
// a daemon asks in a process of its own.

#include <string>
#include <string_view>

namespace bulkhead::qrexec {

/* $QREXEC_QUBESD_SOCKET of ours, else /var/run/qubesd.sock. */
std::string qubesd_socket();

struct Qubesd_answer
{
	bool ok = false;
	std::string text{}; // what it returned
	std::string fault{}; // name of the exception, or empty
	std::string message{}; // why there is no `text`, for people
};

/*
 * Calls a method of the Admin API on behalf of the host. `destination`: a domain's name, an id as
 * "uuid:…", or a keyword with its "@".
 */
Qubesd_answer ask_qubesd(
	std::string_view method, std::string_view destination, std::string_view payload = {});

/* What qubesd's bytes say. */
Qubesd_answer parse_qubesd_answer(std::string_view bytes);

/* Starts a domain; one that runs already is none the worse. False was said. */
bool start_domain(std::string_view name);

/* Makes a disposable from a template ("name" or "uuid:…"): its name, or id. Empty was said. */
std::string create_disposable(std::string_view from);

/* Ends a domain at once. */
void kill_domain(std::string_view name);

} // namespace bulkhead::qrexec
