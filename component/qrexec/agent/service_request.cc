#include "component/qrexec/agent/service_request.h"

namespace bulkhead::qrexec {

void Service_request::resolve(Places const &places, bool with_user)
{
	auto const parsed = parse_command_line(line, with_user);
	if (!parsed.ok()) {
		what = Service_failure{
			EXIT_TROUBLE, "bad command line: " + std::string(name_of(parsed.error()))};
		return;
	}
	command = parsed.value();
	if (!command.service_call) return;
	auto found = find_service(places, command);
	if (Found_service *const it = std::get_if<Found_service>(&found))
		what = std::move(*it);
	else
		what = std::get<Service_failure>(std::move(found));
}

std::string_view Service_request::user() const
{
	Found_service const *const found = service();
	if (found && found->config.force_user) return found->config.force_user->view();
	return command.user;
}

bool Service_request::waits_for_session() const
{
	return service() && needs_session(*service(), command);
}

bool Service_request::needs_worker() const
{
	if (failure()) return false;
	return !service() || service()->kind == Found_service::Kind::EXECUTABLE || waits_for_session();
}

bool Service_request::may_be_handed_over() const
{
	if (failure() || command.nogui) return false;
	if (!service()) return true;
	Service_config const &config = service()->config;
	return !config.wait_for_session && !config.skip_service_descriptor &&
		!config.exit_on_client_eof && !config.exit_on_service_eof;
}

std::string_view Service_request::name() const
{
	constexpr size_t SHOWN = 64;
	return command.service_call ? command.full_name.substr(0, 4 * SHOWN)
								: std::string_view(line).substr(0, SHOWN);
}

} // namespace bulkhead::qrexec
