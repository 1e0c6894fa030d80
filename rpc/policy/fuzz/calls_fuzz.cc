// Calls of any origin against rules of any choice: what the index finds is what a model finds that
// looks at every rule. The first line is the call's words, the rest are rules.

#include "rpc/policy/test/model.h"

#include <cstdint>

namespace bulkhead::policy::test {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

std::string_view word_of(std::string_view &line)
{
	std::string_view const word = line.substr(0, line.find(' '));
	line.remove_prefix(std::min(line.size(), word.size() + 1));
	return word;
}

void compare(Asker &asker, Model const &model, Request const &request)
{
	Verdict const verdict = asker.evaluate(request);
	// What the model doesn't know: relays, and a source that is written as a keyword.
	if (!request.requested_source.empty() || request.source.starts_with('@')) return;
	uint32_t const first = model.first(request);
	demand(verdict.rule == first);
	if (verdict.action != Action::ASK) return;
	Rule const &rule = asker.policy().rules()[first];
	if (rule.redirect != NONE || !rule.autostart) return;
	std::set<std::string> found;
	asker.for_each_choice([&](Destination const &choice) { found.insert(text_of(asker, choice)); });
	demand(found == model.choices(request));
}

void try_call(Asker &asker, Model const &model, std::string_view line)
{
	std::string_view const service = word_of(line);
	std::string_view const argument = word_of(line);
	std::string_view const source = word_of(line);
	std::string_view const target = word_of(line);
	Request const request{service, argument, source, target, line};
	compare(asker, model, request);
	Verdict const verdict = asker.answer(request, target);
	if (verdict.action != Action::ALLOW) return;
	if (asker.call_fault(verdict) != Call_fault::OK) return;
	std::array<char, 512> memory;
	Text_writer writer{memory};
	asker.write_response(writer, request, verdict);
	demand(writer.text().starts_with("user="));
}

} // namespace
} // namespace bulkhead::policy::test

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	using namespace bulkhead;
	using namespace bulkhead::policy;
	static std::vector<test::Described> const domains = test::standard_domains();
	std::string_view const input = text_of(Bytes(data, size));
	std::string_view const call = input.substr(0, input.find('\n'));
	test::Memory_files files;
	files.texts["p/30.policy"] = input.substr(std::min(input.size(), call.size() + 1));
	test::Heap heap;
	constexpr std::array<std::string_view, 1> DIRECTORIES{"p"};
	Owned<Policy> const policy = Policy::load(heap, files, DIRECTORIES, "").value();
	if (policy->broken()) return 0;
	Owned<System> const system = System::create(heap, test::descriptions(domains)).value();
	Owned<Asker> const asker = Asker::create(heap, *policy, *system).value();
	test::try_call(*asker, test::Model(*policy, domains), call);
	return 0;
}
