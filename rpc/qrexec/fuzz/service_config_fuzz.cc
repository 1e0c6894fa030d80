// A service's settings: what is taken means the same when it is written plainly, and a fault is in
// a line that the file has.

#include "rpc/qrexec/fuzz/support.h"
#include "rpc/qrexec/service_config.h"

#include <string>

namespace bulkhead::qrexec::fuzz {
namespace {

std::string written(Service_config const &config)
{
	std::string text;
	if (config.wait_for_session) text += "wait-for-session = true\n";
	if (config.skip_service_descriptor) text += "skip-service-descriptor = 1\n";
	if (config.exit_on_client_eof) text += "exit-on-client-eof = true\n";
	if (config.exit_on_service_eof) text += "exit-on-service-eof = 1\n";
	if (config.force_user) ((text += "force-user = '") += config.force_user->view()) += "'\n";
	return text;
}

void look_at(Service_config const &config, std::string_view text)
{
	demand(config.ignored_line <= size_t(std::ranges::count(text, '\n')) + 1);
	bool const of_sockets =
		config.skip_service_descriptor || config.exit_on_client_eof || config.exit_on_service_eof;
	demand(!config.force_user || !of_sockets);
	demand(!config.force_user || !config.force_user->empty());
	std::string const plain = written(config);
	auto const again = parse_service_config(plain);
	demand(again.ok() && written(again.value()) == plain);
}

} // namespace
} // namespace bulkhead::qrexec::fuzz

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::qrexec;
	std::string_view const text = text_of(Bytes(data, size));
	auto const parsed = parse_service_config(text);
	if (parsed.ok()) {
		fuzz::look_at(parsed.value(), text);
		return 0;
	}
	Config_fault const fault = parsed.error();
	fuzz::demand((fault.kind == Config_fault::Kind::TOO_LONG) == (fault.line == 0));
	fuzz::demand(fault.line <= size_t(std::ranges::count(text, '\n')) + 1);
	fuzz::demand(!text_of(fault.kind).empty());
	return 0;
}
