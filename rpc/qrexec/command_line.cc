#include "rpc/qrexec/command_line.h"

#include "rpc/qrexec/message.h"

namespace bulkhead::qrexec {

namespace {

constexpr size_t FILE_NAME_MAX = 255; // of Linux; a service is a file

/* Takes what is before the first `end` (all if there is none), and `end` itself, off a text. */
std::string_view take_until(std::string_view &text, char end)
{
	size_t const at = std::min(text.find(end), text.size());
	std::string_view const taken = text.substr(0, at);
	text.remove_prefix(std::min(at + 1, text.size()));
	return taken;
}

bool take_prefix(std::string_view &text, std::string_view prefix)
{
	if (!text.starts_with(prefix)) return false;
	text.remove_prefix(prefix.size());
	return true;
}

Attempt<void, Command_fault> parse_service(Command_line &to)
{
	std::string_view const name = to.full_name;
	size_t const plus = name.find('+');
	to.service = name.substr(0, plus);
	if (plus != name.npos) to.argument = name.substr(plus + 1);
	if (to.service.empty()) return Command_fault::NO_SERVICE;
	if (to.service.size() > FILE_NAME_MAX || name.size() >= SERVICE_MAX)
		return Command_fault::TOO_LONG;
	if (to.service.starts_with('.') || name.find('/') != name.npos) return Command_fault::BAD_NAME;
	return Ok{};
}

Attempt<void, Command_fault> parse_target(Command_line &to, std::string_view words)
{
	if (take_prefix(words, "name "))
		to.target_kind = Target_kind::NAME;
	else if (take_prefix(words, "keyword "))
		to.target_kind = Target_kind::KEYWORD;
	else
		return Command_fault::BAD_TARGET;
	if (words.empty() || words.find(' ') != words.npos) return Command_fault::BAD_TARGET;
	to.target = words;
	return Ok{};
}

} // namespace

std::string_view name_of(Command_fault fault)
{
	switch (fault) {
	case Command_fault::NO_USER: return "the command line doesn't begin with \"user:\"";
	case Command_fault::EMPTY: return "the command line has no command";
	case Command_fault::NO_SERVICE: return "the command line has no service name";
	case Command_fault::NO_SOURCE: return "the command line doesn't say which domain calls";
	case Command_fault::BAD_NAME: return "the service name has a \"/\" or begins with \".\"";
	case Command_fault::TOO_LONG: return "the command line or the service name is too long";
	case Command_fault::BAD_TARGET:
		return "behind the calling domain must be nothing, \"name TARGET\" or \"keyword TARGET\"";
	case Command_fault::HAS_NUL: return "the command line has a NUL before its end";
	}
	return "an unknown fault";
}

Attempt<Command_line, Command_fault> parse_command_line(std::string_view line, bool with_user)
{
	if (line.size() >= COMMAND_MAX) return Command_fault::TOO_LONG;
	if (line.find('\0') != line.npos) return Command_fault::HAS_NUL;

	Command_line result;
	if (with_user) {
		if (line.find(':') == line.npos) return Command_fault::NO_USER;
		result.user = take_until(line, ':');
		if (result.user.empty()) return Command_fault::NO_USER;
	}
	result.nogui = take_prefix(line, "nogui:");
	if (line.empty()) return Command_fault::EMPTY;
	result.command = line;
	if (!take_prefix(line, "QUBESRPC ")) return result;

	result.service_call = true;
	result.descriptor = line;
	size_t const name_size = std::min(line.find(' '), line.size());
	result.full_name = line.substr(0, name_size);
	TRY(parse_service(result));

	line.remove_prefix(name_size);
	take_prefix(line, " ");
	size_t const source_size = std::min(line.find(' '), line.size());
	result.source = line.substr(0, source_size);
	if (result.source.empty()) return Command_fault::NO_SOURCE;
	line.remove_prefix(source_size);
	if (take_prefix(line, " ")) TRY(parse_target(result, line));
	return result;
}

} // namespace bulkhead::qrexec
