// What an agent says to a service first.

#include "sdk/qrexec/service_socket.h"

#include <cstdlib>

using namespace bulkhead;
using namespace bulkhead::qrexec;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	auto const parsed = parse_service_descriptor(text_of({data, size}));
	if (!parsed.ok()) return 0;
	Service_request const &request = parsed.value();
	auto const none = [](std::string const &text, char c) { return text.find(c) == text.npos; };
	if (request.service.empty() || request.source.empty()) abort();
	for (char const c : {'\0', ' ', '/'})
		if (!none(request.service, c)) abort();
	if (request.argument && (!none(*request.argument, ' ') || !none(*request.argument, '/')))
		abort();
	if (!none(request.source, ' ') || !none(request.target, ' ')) abort();
	if ((request.target_kind == Target_kind::NONE) != request.target.empty()) abort();
	return 0;
}
