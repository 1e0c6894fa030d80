// What an agent is to run: a line that is taken can be put together again from its parts, and no
// part is what the agent mustn't meet. Input: whether the line begins with a user, line.

#include "rpc/qrexec/command_line.h"
#include "rpc/qrexec/fuzz/support.h"

#include <string>

namespace bulkhead::qrexec::fuzz {
namespace {

std::string joined(Command_line const &line, bool with_user)
{
	std::string result;
	if (with_user) result = std::string(line.user) + ':';
	if (line.nogui) result += "nogui:";
	if (!line.service_call) return result += line.command;
	result += "QUBESRPC ";
	result += line.service;
	if (line.argument) (result += '+') += *line.argument;
	(result += ' ') += line.source;
	if (line.target_kind == Target_kind::NAME) result += " name ";
	if (line.target_kind == Target_kind::KEYWORD) result += " keyword ";
	return result += line.target;
}

void look_at(Command_line const &line)
{
	demand(!line.command.empty());
	if (!line.service_call) return;
	demand(!line.service.empty() && line.service.size() <= 255 && line.service.front() != '.');
	demand(line.full_name.find('/') == line.full_name.npos);
	demand(line.service.find('+') == line.service.npos);
	demand(line.full_name.size() ==
		line.service.size() + (line.argument ? 1 + line.argument->size() : 0));
	demand(!line.source.empty() && line.source.find(' ') == line.source.npos);
	demand((line.target_kind == Target_kind::NONE) == line.target.empty());
	demand(line.command.ends_with(line.descriptor) && line.descriptor.starts_with(line.full_name));
}

} // namespace
} // namespace bulkhead::qrexec::fuzz

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::qrexec;
	Bytes input(data, size);
	bool const with_user = fuzz::take_choice(input) % 2 != 0;
	std::string_view const line = text_of(input);
	auto const parsed = parse_command_line(line, with_user);
	if (!parsed.ok()) {
		fuzz::demand(!name_of(parsed.error()).empty());
		return 0;
	}
	fuzz::demand(fuzz::joined(parsed.value(), with_user) == line);
	fuzz::look_at(parsed.value());
	return 0;
}
