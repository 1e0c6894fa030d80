#include "component/qrexec/client/run_relay.h"

#include "component/qrexec/host/log.h"

namespace bulkhead::qrexec {
namespace {

class Only_call final : private Relay::Finished
{
private:
	linux_host::Loop _loop{};
	Ending _ending{EXIT_TROUBLE, false, "there are no descriptors left for this call"};
	Relay _relay;

	void finished(Relay &, Ending const &ending) override
	{
		_ending = ending;
		_loop.stop();
	}

public:
	Only_call(
		std::unique_ptr<Data_channel> channel, Side side, Local_end local, Relay_options options)
		: _relay(_loop, std::move(channel), side, std::move(local), options, *this)
	{}

	Ending run()
	{
		if (!_loop.usable().ok()) return _ending;
		if (auto const started = _relay.start(); !started.ok())
			_ending.message = "the call can't be carried: " + std::string(name_of(started.error()));
		else
			_loop.run();
		return _ending;
	}
};

} // namespace

Ending run_relay(
	std::unique_ptr<Data_channel> channel, Side side, Local_end local, Relay_options options)
{
	Only_call call{std::move(channel), side, std::move(local), options};
	Ending const ending = call.run();
	if (!ending.message.empty()) log(ending.message);
	return ending;
}

} // namespace bulkhead::qrexec
