#include "tool/vchan/narrator.h"

#include "tool/report.h"

#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;

void print_line(Json const &json)
{
	fmt::print(stderr, "{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string_view name_of(Ending ending)
{
	switch (ending) {
	case Ending::IN_ORDER: return "in order";
	case Ending::INPUT_LEFT: return "input left";
	case Ending::DIED: return "died";
	case Ending::BROKEN: return "broken";
	case Ending::OUTPUT_GONE: return "output gone";
	case Ending::OUTPUT_FAILED: return "output failed";
	case Ending::INPUT_FAILED: return "input failed";
	case Ending::INTERRUPTED: return "interrupted";
	}
	return "in order";
}

Trouble describe(Ending ending, Bulkhead_vchan const *channel, int error)
{
	switch (ending) {
	case Ending::DIED: return trouble_of(channel, -ECONNRESET);
	case Ending::BROKEN: return trouble_of(channel, -EPROTO);
	case Ending::INPUT_LEFT:
		return {Exit::FAILURE, "the other side has ended; not all of the input was sent"};
	case Ending::OUTPUT_FAILED:
		return {Exit::FAILURE, fmt::format("the output can't be written: {}", strerror(error))};
	case Ending::INPUT_FAILED:
		return {Exit::FAILURE, fmt::format("the input can't be read: {}", strerror(error))};
	case Ending::IN_ORDER:
	case Ending::OUTPUT_GONE:
	case Ending::INTERRUPTED: break;
	}
	return {Exit::OK, ""};
}

int code_of(Ending ending, Trouble const &trouble, Interrupt const &interrupt)
{
	if (ending == Ending::INTERRUPTED) return interrupt.code();
	if (ending == Ending::OUTPUT_GONE) return 128 + SIGPIPE;
	return static_cast<int>(trouble.exit);
}

std::string user_of(Bulkhead_vchan *channel)
{
	uid_t user = 0;
	if (bulkhead_vchan_peer_uid(channel, &user) < 0) return "";
	return std::to_string(user);
}

} // namespace

void Narrator::waiting() const
{
	std::string const peer = _options.peer.text(), transport = transport_of(_options);
	if (_form == Form::TEXT)
		fmt::print(stderr, "bulkhead: {} {} ({})\n",
			_options.server ? "waiting for client" : "looking for server", peer, transport);
	if (_form == Form::JSON)
		print_line({{"event", "waiting"}, {"role", _options.server ? "server" : "client"},
			{"peer", _options.peer.domain}, {"port", _options.peer.port},
			{"transport", transport}});
}

void Narrator::connected(Bulkhead_vchan *channel) const
{
	size_t read = 0, write = 0;
	bulkhead_vchan_capacity(channel, &read, &write);
	std::string const user = user_of(channel);
	if (_form == Form::TEXT)
		fmt::print(stderr,
			"bulkhead: {} {} is there: uid {}, rings of {} B to read, {} B to write\n",
			_options.server ? "client" : "server", _options.peer.text(),
			user.empty() ? "unknown" : user, read, write);
	if (_form == Form::JSON) {
		Json line{{"event", "connected"}, {"read_bytes", read}, {"write_bytes", write}};
		if (!user.empty()) line["uid"] = std::stoul(user);
		print_line(line);
	}
}

int Narrator::failed(Trouble const &trouble) const
{
	if (_form != Form::JSON) return report(trouble);
	Json line{
		{"event", "failed"}, {"exit", static_cast<int>(trouble.exit)}, {"text", trouble.what}};
	if (!trouble.remedy.empty()) line["remedy"] = trouble.remedy;
	print_line(line);
	return static_cast<int>(trouble.exit);
}

int Narrator::ended(
	Bulkhead_vchan *channel, Pump const &pump, Ending ending, Interrupt const &interrupt) const
{
	Trouble const trouble = describe(ending, channel, pump.error());
	int const code = code_of(ending, trouble, interrupt);
	Bulkhead_vchan_stats stats{};
	stats.size = sizeof stats;
	bulkhead_vchan_stats(channel, &stats);
	if (_form == Form::JSON) {
		Json line{{"event", "ended"}, {"how", name_of(ending)}, {"received", pump.received()},
			{"sent", pump.sent()}, {"rings", stats.rings}, {"sleeps", stats.sleeps}};
		if (!trouble.what.empty()) line["text"] = trouble.what;
		print_line(line);
		return code;
	}
	if (!trouble.what.empty()) (void)report(trouble);
	if (_form == Form::TEXT)
		fmt::print(stderr, "bulkhead: ended ({}): {} B received, {} B sent, {} rings, {} sleeps\n",
			name_of(ending), pump.received(), pump.sent(), stats.rings, stats.sleeps);
	return code;
}

void Narrator::command_ended(int code) const
{
	if (_form == Form::TEXT) fmt::print(stderr, "bulkhead: the command has ended with {}\n", code);
	if (_form == Form::JSON) print_line({{"event", "command"}, {"exit", code}});
}

} // namespace bulkhead::tool
