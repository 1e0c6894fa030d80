// A TPM that lies: the input is what it answers, each response behind a byte with its size.

#include "base/sync_wait.h"
#include "component/tpm_random/random_source.h"

#include <cstdlib>

namespace {

using namespace bulkhead;

class Leaping_clock final : public Clock
{
public:
	uint64_t time_us = 0;

	uint64_t now_us() const override { return time_us; }
};

class Lying_tpm final : public tpm::Interface
{
private:
	Byte_reader _answers;

public:
	explicit Lying_tpm(Bytes answers) : _answers(answers) {}

	Task<size_t, tpm::Error> execute(Job &, Bytes command, Mutable_bytes response) override
	{
		// What we ask for is well-formed, whatever was answered before.
		auto const header = tpm::parse_header(command);
		if (!header.ok() || header.value().size != command.size()) abort();
		Bytes const answer = _answers.bytes(_answers.u8());
		if (!_answers.ok()) return tpm::Error::GONE;
		return copy_bytes(response, answer);
	}

	bool cancel(Job const &) override { return false; }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	Leaping_clock clock;
	Executor executor{clock};
	Job_with_arena<4096> job{executor};
	Lying_tpm tpm{{data, size}};
	tpm_random::Random_source source{tpm};
	uint8_t random[80]{};
	(void)sync_wait(
		job, source.fill(job, random), [&clock](uint64_t until_us) { clock.time_us = until_us; });
	return 0;
}
