#include "component/files/file_service.h"

#include "sdk/component/channel_stream.h"
#include "vfs/remote/server.h"

#include <fmt/format.h>

namespace bulkhead::files {

int File_service::_refuse(
	component::Incoming_call const &call, int exit_code, std::string const &why)
{
	call.channel.complain(why);
	if (_noted.size() < NOTED_MAX && _noted.insert(fmt::format("{} {}", call.caller, why)).second)
		_log.warning("refused: ", call.caller, ": ", std::string_view(why));
	return exit_code;
}

Task<int> File_service::_serve(
	Job &job, component::Incoming_call const &call, Client_rule const &rule)
{
	component::Channel_stream stream(call.channel);
	remote::Server server(_executor, rule.root, Exports::label_of(call.caller, call.argument));
	Attempt<void> const served = co_await server.serve(job, stream);
	if (served.ok() || served.error() == Error::BROKEN_PIPE) co_return 0;
	_log.info(call.caller, " has lost ", call.argument, ": ", name_of(served.error()));
	co_return EXIT_BROKEN;
}

Task<int> File_service::serve(Job &job, component::Incoming_call const &call)
{
	Export const *const wanted = _exports.find(call.argument);
	if (!wanted)
		return _refuse(call, EXIT_NO_EXPORT,
			fmt::format("there is no export '{}' here", host_system::printable(call.argument)));
	Client_rule const *const rule = Exports::rule_for(*wanted, call.caller);
	if (!rule)
		return _refuse(call, EXIT_NOT_ALLOWED,
			fmt::format("no [[export.{}.client]] is for this domain", wanted->name));
	return _serve(job, call, *rule);
}

} // namespace bulkhead::files
