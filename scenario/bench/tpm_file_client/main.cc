// The TPM of another domain as a component has it: its file over a call's channel, by
// remote::Client, without a kernel in between. A domain of tpm_file_bench.
//
// bench.Rate: GetRandom per second of /tpm0 in the domain tpm's export dev, as text.

#include "sdk/component/channel_stream.h"
#include "sdk/component/env.h"
#include "vfs/remote/client.h"

#include <algorithm>
#include <array>
#include <memory>

using namespace bulkhead;

namespace {

constexpr std::array<uint8_t, 12> GET_RANDOM{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 16};
constexpr size_t RANDOM_BYTES = 28; // of its answer
constexpr unsigned ROUNDS = 20'000;
constexpr unsigned REPEATS = 3;
constexpr uint64_t CALL_WITHIN_US = 5'000'000;

/* A call of the file service and the client of it: too large for a frame. */
struct Files
{
	qrexec::Loop_channel channel;
	component::Channel_stream stream{channel};
	remote::Client client;
	Job_with_arena<4096> answers_job;
	Root answers{}; // ends first

	explicit Files(linux_host::Loop &loop)
		: channel(loop), client(loop.executor(), stream), answers_job(loop.executor())
	{}

	Root take_answers(Job &job) { (void)co_await client.run(job); }

	Attempt<void> start()
	{
		answers = take_answers(answers_job);
		return answers.start(answers_job);
	}
};

class Rate final : public component::Service
{
private:
	component::Env &_env;

	static Task<void> _commands(Job &job, remote::Client &client, remote::Remote_file tpm)
	{
		std::array<uint8_t, 64> answer;
		for (unsigned i = 0; i < ROUNDS; ++i) {
			CO_TRY(co_await client.write(job, tpm, GET_RANDOM, 0));
			CO_TRY_ASSIGN(size_t const size, co_await client.read(job, tpm, answer, 0));
			if (size != RANDOM_BYTES) co_return Error::IO;
		}
		co_return Ok{};
	}

	/* The best of some repeats, as the machine's other work only slows down. */
	Task<uint64_t> _per_second(Job &job, remote::Client &client)
	{
		CO_TRY(co_await client.ready(job));
		vfs::Access const access{.read = true, .write = true};
		CO_TRY_ASSIGN(remote::Remote_file const tpm, co_await client.open(job, "tpm0", access));
		uint64_t best = 0;
		for (unsigned repeat = 0; repeat < REPEATS; ++repeat) {
			uint64_t const begin_us = _env.loop().clock().now_us();
			CO_TRY(co_await _commands(job, client, tpm));
			uint64_t const us = _env.loop().clock().now_us() - begin_us;
			best = std::max(best, uint64_t{ROUNDS} * 1'000'000 / std::max<uint64_t>(us, 1));
		}
		CO_TRY(co_await client.close(job, tpm));
		co_return best;
	}

public:
	explicit Rate(component::Env &env) : _env(env) {}

	Task<int> serve(Job &job, component::Incoming_call const &call) override
	{
		auto const files = std::make_unique<Files>(_env.loop());
		uint64_t const until_us = deadline_after_us(_env.loop().clock().now_us(), CALL_WITHIN_US);
		CO_TRY(co_await _env.call(job, "tpm", "bulkhead.File+dev", files->channel, until_us));
		CO_TRY(files->start());
		CO_TRY_ASSIGN(uint64_t const rate, co_await _per_second(job, files->client));
		CO_TRY(co_await call.channel.write(job, bytes_of(std::to_string(rate))));
		co_return 0;
	}
};

} // namespace

int main()
{
	linux_host::Loop loop;
	component::Env env(loop);
	if (!env.start()) return env.fail();
	Rate rate(env);
	env.serve("bench.Rate", rate);
	return env.run();
}
