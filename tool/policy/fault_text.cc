#include "tool/policy/fault_text.h"

#include "rpc/policy/text/fault_text.h"

#include <array>

namespace bulkhead::tool {

std::string text_of(policy::Policy const &policy, policy::Fault const &fault)
{
	std::array<char, 4096> memory;
	Text_writer writer{memory};
	if (fault.place.file != policy::NONE)
		format_all(writer, policy.file_name(fault.place.file), ':', fault.place.line, ':',
			fault.place.column, ": ");
	write_message(writer, fault);
	writer.put("; ");
	write_remedy(writer, fault);
	return std::string(writer.text());
}

} // namespace bulkhead::tool
