// What qubesd answers, or a file of domains has in it: either a fault in words, or domains that a
// policy can be evaluated for, and a person asked about.

#include "component/qrexec/policy_daemon/person.h"
#include "component/qrexec/policy_daemon/setting.h"
#include "tool/policy/host_files.h"

#include <algorithm>

namespace bulkhead::qrexec {
namespace {

constexpr char POLICY[] = "svc * @tag:red @anyvm allow\n"
						  "svc * @type:AppVM @dispvm allow\n"
						  "svc * * dom0 deny\n"
						  "svc * * * ask default_target=@dispvm\n";

void demand(bool condition)
{
	if (!condition) abort();
}

void decide(Setting &setting)
{
	policy::Asker &asker = *setting.asker();
	System_info const &info = setting.info();
	size_t const count = std::min<size_t>(info.system->domains().size(), 8);
	for (size_t number = 0; number < count; ++number) {
		std::string const source(info.system->domains()[number].name);
		for (std::string_view const target : {"", "@dispvm", "dom0", "a"}) {
			policy::Request const request{.service = "svc", .source = source, .target = target};
			policy::Verdict const verdict = asker.evaluate(request);
			if (verdict.action == policy::Action::ASK)
				demand(!question_text(info, asker, request, verdict).empty());
			if (verdict.action != policy::Action::ALLOW) continue;
			if (asker.call_fault(verdict) != policy::Call_fault::OK) continue;
			char text[4096];
			Text_writer writer{std::span<char>(text)};
			asker.write_response(writer, request, verdict);
			demand(writer.cut() || std::ranges::count(writer.text(), '\n') <= 8);
		}
	}
}

} // namespace
} // namespace bulkhead::qrexec

extern "C" int LLVMFuzzerTestOneInput(unsigned char const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::qrexec;
	auto const answer = parse_qubesd_answer({reinterpret_cast<char const *>(data), size});
	if (!std::holds_alternative<std::string_view>(answer)) return 0;
	Setting setting;
	tool::Sent_files files;
	files.policy["30.policy"] = POLICY;
	std::string_view const directory = tool::Sent_files::POLICY;
	setting.set_policy(policy::Policy::load(
		setting.allocator(), files, std::span(&directory, 1), tool::Sent_files::COMPAT)
			.value());
	auto parsed = parse_system_info(setting.allocator(), std::get<std::string_view>(answer));
	if (System_info *const info = std::get_if<System_info>(&parsed)) {
		setting.set_system(std::move(*info));
		decide(setting);
	} else {
		demand(!std::get<std::string>(parsed).empty());
	}
	return 0;
}
