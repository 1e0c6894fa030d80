#include "component/echo/caller.h"

#include "component/echo/streams.h"
#include "vchan/spin.h"

namespace bulkhead::echo {

using component::Env;
using component::Incoming_call;
using qrexec::Loop_channel;

bool parse(std::string_view text, Order &order)
{
	auto const part = [&] {
		size_t const end = std::min(text.find('+'), text.size());
		std::string_view const taken = text.substr(0, end);
		text.remove_prefix(std::min(end + 1, text.size()));
		return taken;
	};
	order.target = part();
	bool const numbers = parse(part(), order.count) && parse(part(), order.depth);
	order.service = text;
	bool const depth_fits = order.depth > 0 && order.depth <= Caller::DEPTH_MAX;
	return numbers && depth_fits && !order.target.empty() && !order.service.empty();
}

/* What the workers have in common. */
struct Caller::Run
{
	Env &env;
	Order const &order;
	uint64_t begun = 0;
	uint64_t failed = 0;
	unsigned working = 0;
	Event done{};
};

/* Makes calls one after the other. */
class Caller::Worker
{
private:
	Run &_run;
	Job_with_arena<8192> _job;
	Loop_channel _channel;
	Root _root{};

	static Task<int> _call(Job &job, Run &run, Loop_channel &channel)
	{
		CO_TRY(co_await run.env.call(job, run.order.target, run.order.service, channel));
		auto const written = co_await channel.write(job, bytes_of("x"));
		if (written.ok()) static_cast<void>(co_await channel.finish(job));
		co_return co_await channel.exit_code(job);
	}

	static Root _work(Job &job, Run &run, Loop_channel &channel)
	{
		while (run.begun < run.order.count) {
			++run.begun;
			auto const code = co_await _call(job, run, channel);
			channel.close();
			if (!code.ok() || code.value() != 0) ++run.failed;
		}
		if (--run.working == 0) run.done.raise_all();
	}

public:
	explicit Worker(Run &run) : _run(run), _job(run.env.loop().executor()), _channel(run.env.loop())
	{
		_job.spin = run.order.depth == 1 ? vchan::Spin::MOST : 0;
		_root = _work(_job, _run, _channel);
		if (_root.start(_job).ok()) ++_run.working;
	}
};

Task<int> Caller::serve(Job &job, Incoming_call const &call)
{
	Order order;
	if (!parse(call.argument, order)) {
		call.channel.complain("the argument is TARGET+COUNT+DEPTH+SERVICE");
		return 2;
	}
	return _serve(job, call, std::move(order));
}

Task<int> Caller::_serve(Job &job, Incoming_call const &call, Order order)
{
	uint64_t const begin_us = job.executor.clock.now_us();
	Run run{_env, order};
	{
		std::vector<std::unique_ptr<Worker>> workers;
		for (uint64_t i = 0; i < order.depth; ++i) workers.push_back(std::make_unique<Worker>(run));
		while (run.working) CO_TRY(co_await run.done.wait(job));
	}
	uint64_t const us = job.executor.clock.now_us() - begin_us;
	std::string const text = "calls " + std::to_string(order.count) + " failed " +
		std::to_string(run.failed) + " us " + std::to_string(us) + "\n";
	CO_TRY(co_await call.channel.write(job, bytes_of(text)));
	co_return 0;
}

} // namespace bulkhead::echo
