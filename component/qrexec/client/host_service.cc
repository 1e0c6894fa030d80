#include "component/qrexec/client/host_service.h"

#include "component/qrexec/client/connect.h"
#include "component/qrexec/client/run_relay.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/service.h"

#include <cstdlib>

namespace bulkhead::qrexec {
namespace {

using Started = std::variant<Local_end, Service_failure>;

void wait_for_session_if_needed(
	Found_service const &service, Places const &places, Command_line const &line)
{
	if (!needs_session(service, line)) return;
	char const *const user = getenv("USER");
	std::string const trouble = wait_for_session(places, line, user ? user : "");
	if (!trouble.empty()) log(trouble);
}

Started start(Command_line const &line, Relay_options &options)
{
	Start_options how;
	how.own_errors = false;
	how.shell = HOST_SHELL;
	if (!line.service_call) return start_command(line, how);
	Places const places = Places::from_environment();
	auto found = find_service(places, line);
	if (auto *const failure = std::get_if<Service_failure>(&found)) return std::move(*failure);
	Found_service const &service = std::get<Found_service>(found);
	wait_for_session_if_needed(service, places, line);
	options.exit_on_client_eof = service.config.exit_on_client_eof;
	options.exit_on_service_eof = service.config.exit_on_service_eof;
	return start_service(service, line, how);
}

} // namespace

std::variant<Local_end, Service_failure> start_on_host(
	std::string const &command, Relay_options &options)
{
	auto const line = parse_command_line(command, false);
	if (line.ok()) return start(line.value(), options);
	return Service_failure{EXIT_TROUBLE,
		"the command \"" + command + "\" is none: " + std::string(name_of(line.error()))};
}

int run_host_service(Host_service const &service)
{
	setenv("QREXEC_REMOTE_DOMAIN", service.caller_name.c_str(), 1);
	Relay_options options;
	// The host's errors are its own.
	options.tells_of_errors = false;
	Started started = start_on_host(service.command, options);
	if (auto const *const failure = std::get_if<Service_failure>(&started)) {
		log(failure->message);
		options.exit_code = failure->exit_code;
		started = Local_end{};
	}
	auto channel = meet({.side = Side::SERVICE,
		.with = service.caller,
		.timeout_s = service.timeout_s,
		.link = nullptr});
	if (!channel) return EXIT_TROUBLE;
	int const code = run_relay(
		std::move(channel), Side::SERVICE, std::move(std::get<Local_end>(started)), options)
						 .exit_code;
	return options.exit_code.value_or(code);
}

} // namespace bulkhead::qrexec
