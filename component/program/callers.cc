#include "component/program/callers.h"

#include "component/qrexec/host/log.h"

#include <filesystem>

namespace bulkhead::component {

using namespace qrexec;

Callers::Callers(linux_host::Loop &loop, Env &env)
	: _env(env), _programs(loop, *this, CALLERS_MAX), _server(loop, *this)
{}

Attempt<void> Callers::start(std::string const &socket)
{
	std::error_code ignored; // the server tells
	std::filesystem::create_directories(std::filesystem::path(socket).parent_path(), ignored);
	return _server.start(socket, 0666);
}

void Callers::accepted(Unix_server &, linux_host::Owned_fd connection)
{
	_programs.add(std::move(connection));
}

void Callers::asked(uint64_t number)
{
	auto const question = _programs.question(number);
	if (!question) return;
	if (!question->trigger.source.empty()) {
		log("a call is refused: this domain relays for no other (", question->trigger.source, ")");
		return _programs.refuse(number);
	}
	std::string_view const target = question->trigger.target;
	_env.call(target.empty() ? "@default" : target, question->trigger.service,
		[this, number](Env::Given_end given) { _answered(number, std::move(given)); });
}

void Callers::_answered(uint64_t number, Env::Given_end given)
{
	if (!given.end.ok()) return _programs.refuse(number);
	bool const told = _programs.accept(
		Programs::ident_of(number), {given.domain, given.port}, 0, &given.end.value());
	if (!told) _env.ended(given.domain, given.port);
}

void Callers::program_ended(Exec_params call, uint64_t) { _env.ended(call.domain, call.port); }

} // namespace bulkhead::component
