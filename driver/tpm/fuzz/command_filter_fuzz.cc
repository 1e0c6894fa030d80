// Arbitrary bytes as commands of a session behind a filter: what comes through is whole, allowed
// and as it was written; what doesn't is answered by a well-formed refusal.

#include "base/sync_wait.h"
#include "driver/tpm/command_filter.h"
#include "driver/tpm/tpm_session.h"

#include <cstdlib>
#include <vector>

namespace bulkhead::tpm {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

struct Still_clock final : Clock
{
	uint64_t now_us() const override { return 0; }
};

/* Answers with three bytes more than a header, which nobody else does. */
struct Chip final : Interface
{
	Command_rule const &rule;
	std::vector<uint8_t> last{};

	explicit Chip(Command_rule const &r) : rule(r) {}

	Task<size_t, Error> execute(Job &, Bytes command, Mutable_bytes response) override
	{
		last.assign(command.begin(), command.end());
		demand(command.size() >= 10 && command.size() <= 4096);
		demand(load_be<uint32_t>(command.subspan<2, 4>()) == command.size());
		demand(rule.allows(load_be<uint32_t>(command.subspan<6, 4>())));
		uint16_t const tag = load_be<uint16_t>(command.first<2>());
		demand(tag == 0x8001 || tag == 0x8002);
		fill_bytes(response.first(13), 0x11);
		return size_t{13};
	}
	bool cancel(Job const &) override { return false; }
};

struct Policy final : Command_policy
{
	Command_rule rule{};
	bool known = true;

	Command_rule const *rule_of(Credentials const &) const override
	{
		return known ? &rule : nullptr;
	}
};

struct Input
{
	Bytes bytes;

	Bytes take(size_t n)
	{
		Bytes const taken = bytes.first(std::min(n, bytes.size()));
		bytes = bytes.subspan(taken.size());
		return taken;
	}
	uint8_t u8()
	{
		Bytes const one = take(1);
		return one.empty() ? 0 : one[0];
	}
	uint32_t u32()
	{
		uint32_t value = 0;
		for (unsigned i = 0; i < 4; ++i) value = value << 8 | u8();
		return value;
	}
};

void run(Bytes bytes)
{
	Input input{bytes};
	Policy policy;
	uint8_t const kind = input.u8();
	policy.known = kind & 1;
	if (kind & 2) policy.rule.allow_standard();
	for (unsigned i = 0; i < (kind >> 2 & 31); ++i) (void)policy.rule.allow(input.u32()).ok();

	Still_clock clock;
	Executor executor{clock};
	Chip chip{policy.rule};
	Command_filter filter{chip, policy};
	filter.admit({});
	Arbiter arbiter;
	Tpm_session session{executor, filter, arbiter};
	Job_with_arena<8192> job{executor};
	auto const poll = [](uint64_t) { abort(); };
	while (!input.bytes.empty()) {
		Bytes const command = input.take(size_t{input.u8()} << 8 | input.u8());
		chip.last.clear();
		Attempt<size_t> const written = sync_wait(job, session.write(job, command, {}), poll);
		if (!written.ok()) {
			demand(chip.last.empty());
			continue;
		}
		uint8_t response[64];
		Attempt<size_t> const size = sync_wait(job, session.read(job, response, {}), poll);
		demand(size.ok() && size.value() == (chip.last.empty() ? 10u : 13u));
		if (chip.last.empty()) {
			demand(load_be<uint32_t>(Bytes{response}.subspan<2, 4>()) == 10);
			demand(load_be<uint32_t>(Bytes{response}.subspan<6, 4>()) >> 16 == 11);
		} else {
			demand(policy.known && chip.last.size() <= command.size());
			demand(std::equal(chip.last.begin(), chip.last.end(), command.begin()));
		}
	}
}

} // namespace
} // namespace bulkhead::tpm

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	bulkhead::tpm::run({data, size});
	return 0;
}
