// Policy texts of any origin: files in one input, each behind a line "@ NAME". What is loaded is
// either broken, with a place for each fault, or it can be compiled and decides.

#include "rpc/policy/test/support.h"
#include "rpc/policy/text/fault_text.h"
#include "rpc/policy/text/verdict_text.h"

#include <cstdint>

namespace bulkhead::policy::test {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

Memory_files files_of(std::string_view input)
{
	Memory_files files;
	files.directories = {"p", "c"};
	std::string *text = &files.texts["p/30.policy"];
	while (!input.empty()) {
		size_t const end = std::min(input.find('\n'), input.size() - 1) + 1;
		std::string_view const line = input.substr(0, end);
		input.remove_prefix(end);
		if (line.starts_with("@ "))
			text = &files.texts[std::string(line.substr(2, line.find('\n') - 2))];
		else
			text->append(line);
	}
	return files;
}

void look_at(Policy const &policy)
{
	std::array<char, 256> memory;
	for (Fault const &fault : policy.faults()) {
		Text_writer writer{memory};
		write_message(writer, fault);
		write_remedy(writer, fault);
		demand(!writer.text().empty());
		demand(fault.place.line == 0 || fault.place.column > 0);
	}
	demand(policy.faults().empty() || policy.rules().empty());
	for (Rule const &rule : policy.rules()) {
		demand(rule.source < policy.tokens().size() && rule.target < policy.tokens().size());
		demand(!base_name(policy, rule.place.file).empty());
	}
}

void decide(Heap &heap, Policy const &policy)
{
	std::vector<Described> const domains = standard_domains();
	Owned<System> const system = System::create(heap, descriptions(domains)).value();
	Owned<Asker> const asker = Asker::create(heap, policy, *system).value();
	for (std::string_view const target : {"", "web", "@dispvm", "@adminvm", "@dispvm:base-dvm"}) {
		Request const request{.service = "svc", .source = "work", .target = target};
		(void)line_of(*asker, asker->evaluate(request));
	}
}

} // namespace
} // namespace bulkhead::policy::test

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::policy;
	test::Memory_files files = test::files_of(text_of(Bytes(data, size)));
	test::Heap heap;
	constexpr std::array<std::string_view, 1> DIRECTORIES{"p"};
	Owned<Policy> const policy = Policy::load(heap, files, DIRECTORIES, "c").value();
	test::look_at(*policy);
	test::decide(heap, *policy);
	return 0;
}
