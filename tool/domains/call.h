#pragma once

// `bulkhead call`: calls a service in the operator's name, with standard input, output and error.

#include <string>
#include <vector>

namespace bulkhead::tool {

struct Call_options
{
	std::string system{};
	std::string target{};
	std::string service{}; // with +ARGUMENT
	std::vector<std::string> program{}; // a local one instead of standard input and output
};

/* Returns the exit code: the service's, or those of qrexec-client-vm (rpc/qrexec/message.h). */
int call_service(Call_options const &options);

} // namespace bulkhead::tool
