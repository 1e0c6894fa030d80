// qrexec-client: a call from the host, or the host's side of a call from a domain.

#include "component/qrexec/client/connect.h"
#include "component/qrexec/client/host_service.h"
#include "component/qrexec/client/options.h"
#include "component/qrexec/client/qubesd.h"
#include "component/qrexec/client/run_relay.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "component/qrexec/host/usage.h"

#include <cstdlib>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Owned_fd;

constexpr int BAD_SOCKET = 2; // exit code of --use-stdin-socket, as upstream

/* Asks a daemon, to the end of the question. False was said. */
bool ask(Link &link, Client_options const &options, std::string const &domain, Type type,
	Exec_params params, std::string_view text)
{
	auto const begun = link.ask_daemon(options.socket_directory, domain, type, params, text);
	if (begun.ok()) return finish_asking(link, domain);
	log(link.message().empty() ? std::string_view(name_of(begun.error()))
							   : std::string_view(link.message()));
	return false;
}

// The same of the domain that a request comes from: by its id, which a name that is given again
// can't be mistaken for, or by its name where the daemon has only that.
bool ask_source(Link &link, Client_options const &options, Exec_params params)
{
	Request const &request = *options.request;
	auto const begun = link.ask_daemon(options.socket_directory, std::to_string(request.source_id),
		Type::SERVICE_CONNECT, params, request.ident);
	if (begun.ok()) return finish_asking(link, request.source_name);
	if (begun.error() == Link_error::NOT_THERE)
		return ask(
			link, options, request.source_name, Type::SERVICE_CONNECT, params, request.ident);
	log(link.message());
	return false;
}

Type exec_type(Client_options const &options)
{
	return options.just_exec ? Type::JUST_EXEC : Type::EXEC_CMDLINE;
}

// A domain's request, answered by the host itself.
int serve_on_host(Client_options const &options)
{
	Request const &request = *options.request;
	Link source;
	if (!ask_source(source, options, Exec_params{0, 0})) return EXIT_TROUBLE;
	int const code = run_host_service({.caller = source.answer(),
		.caller_name = request.source_name,
		.command = options.command,
		.timeout_s = options.timeout_s});
	return options.exit_code ? code : 0;
}

// A domain's request, answered by another domain: the two meet without us.
int connect_domains(Client_options const &options)
{
	Request const &request = *options.request;
	Link target, source;
	if (!ask(target, options, options.domain, exec_type(options), Exec_params{request.source_id, 0},
			options.command))
		return EXIT_TROUBLE;
	if (!ask_source(source, options, target.answer())) return EXIT_TROUBLE;
	if (options.wait_for_end) wait_for_end(target);
	return 0;
}

std::variant<Local_end, Service_failure> start_local(
	Client_options const &options, Relay_options &relay)
{
	if (options.local_command) return start_on_host(*options.local_command, relay);
	Local_end local;
	local.socket = options.stdin_socket;
	local.to = Owned_fd(options.stdin_socket ? STDIN_FILENO : STDOUT_FILENO);
	if (!options.stdin_socket) local.from = Owned_fd(STDIN_FILENO);
	return local;
}

int call(Client_options const &options)
{
	Link link;
	if (!ask(link, options, options.domain, exec_type(options), Exec_params{0, 0}, options.command))
		return EXIT_TROUBLE;
	Meeting const meeting{
		.side = Side::CALLER, .with = link.answer(), .timeout_s = options.timeout_s, .link = &link};
	auto channel = begin_to_meet(meeting);
	if (!channel) return EXIT_TROUBLE;
	// The local program starts while the domain's agent is on its way.
	setenv("QREXEC_REMOTE_DOMAIN", options.domain.c_str(), 1);
	Relay_options relay;
	relay.replace_characters = options.replace_output;
	relay.replace_error_characters = options.replace_errors;
	relay.errors_to = STDERR_FILENO;
	auto local = start_local(options, relay);
	if (auto const *const failure = std::get_if<Service_failure>(&local)) {
		log(failure->message);
		return failure->exit_code;
	}
	if (!wait_until_met(*channel, meeting)) return EXIT_TROUBLE;
	int const code =
		run_relay(std::move(channel), Side::CALLER, std::move(std::get<Local_end>(local)), relay)
			.exit_code;
	return options.exit_code ? code : 0;
}

int run(Client_options const &options)
{
	if (options.stdin_socket && !stdin_is_stream_socket()) return BAD_SOCKET;
	if (options.request)
		return refers_to_host(options.domain) ? serve_on_host(options) : connect_domains(options);
	int const code = call(options);
	if (options.kill) kill_domain(options.domain);
	return code;
}

} // namespace
} // namespace bulkhead::qrexec

int main(int argc, char **argv)
{
	bulkhead::qrexec::prepare_process();
	auto const parsed = bulkhead::qrexec::parse_options(argc, argv);
	return parsed.options ? bulkhead::qrexec::run(*parsed.options) : parsed.exit_code;
}
