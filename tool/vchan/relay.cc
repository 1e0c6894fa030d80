#include "tool/vchan/relay.h"

#include "tool/vchan/command.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>

namespace bulkhead::tool {

namespace {

class Relay
{
private:
	Relay_options const &_options;
	Narrator const _narrator;
	Interrupt _interrupt{};

	/* What goes where, without a command. */
	Pump::Ways _own_ways() const
	{
		Pump::Ways ways;
		if (!_options.receive_only) ways.input = Input(0);
		ways.output = Output(1);
		ways.end_output = !_options.keep;
		ways.dump_output = _options.hex && _options.receive_only;
		ways.dump_aside = _options.hex && !_options.receive_only;
		return ways;
	}

	int _not_started(int error) const
	{
		int const code = error == ENOENT ? Command::NOT_FOUND : Command::NOT_EXECUTABLE;
		return _narrator.failed({static_cast<Exit>(code),
			fmt::format("{} can't be run: {}", _options.command[0], strerror(error)), ""});
	}

	int _serve_command(Channel channel)
	{
		Command command;
		Pump::Ways ways;
		ways.output_optional = true;
		ways.dump_aside = _options.hex;
		int const error =
			command.start(_options.command, _options.channel.peer, ways.input, ways.output);
		if (error) return _not_started(error);
		int ended = 0;
		{
			Pump pump(channel.get(), _interrupt, std::move(ways));
			Ending const ending = pump.run();
			ended = _narrator.ended(channel.get(), pump, ending, _interrupt);
		}
		// Whatever the command does now, neither it nor the other side waits for the other.
		channel.reset();
		int const code = command.wait(_interrupt);
		_narrator.command_ended(code);
		return code ? code : ended;
	}

	int _serve_own(Bulkhead_vchan *channel)
	{
		Pump pump(channel, _interrupt, _own_ways());
		Ending const ending = pump.run();
		return _narrator.ended(channel, pump, ending, _interrupt);
	}

	bool _to_continue(int code) const
	{
		if (!_options.keep || _interrupt.number()) return false;
		return !_options.command.empty() || code != 128 + SIGPIPE;
	}

	/* False: there will be no channel, and `code` says why. */
	bool _meet(Channel &channel, int &code) const
	{
		std::optional<Trouble> trouble = open_channel(_options.channel, channel);
		if (!trouble) {
			_narrator.waiting();
			trouble = await_peer(_options.channel, channel.get(), _interrupt);
		}
		if (!trouble) return true;
		code = _interrupt.number() ? _interrupt.code() : _narrator.failed(*trouble);
		return false;
	}

public:
	explicit Relay(Relay_options const &options)
		: _options(options), _narrator(options.form, options.channel)
	{}

	int run()
	{
		int code = 0;
		do {
			Channel channel;
			if (!_meet(channel, code)) break;
			_narrator.connected(channel.get());
			code = _options.command.empty() ? _serve_own(channel.get())
											: _serve_command(std::move(channel));
		} while (_to_continue(code));
		// Who serves one after another is ended in no other way.
		return _options.keep && _interrupt.number() ? 0 : code;
	}
};

} // namespace

int relay(Relay_options const &options) { return Relay(options).run(); }

} // namespace bulkhead::tool
