#include "tool/vchan/command_line.h"

#include "tool/report.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>

namespace bulkhead::tool {

namespace {

constexpr double TIMEOUT_MAX_S = 1e6;
constexpr double PING_TIMEOUT_S = 5;

constexpr char const *EXAMPLES = R"(Examples:
  bulkhead vchan listen 7 --domain 1                 as domain 1, wait for domain 7
  bulkhead vchan connect 1 --domain 7 < file         as domain 7, send a file to it
  bulkhead vchan listen 7:600 --keep -- /bin/cat     an echo at port 600, for ever
  bulkhead vchan cat 1 --hex                         what server 1 sends, as a dump
  bulkhead vchan ping 1:600 -c 100 -i 0 -q           round trips
  bulkhead vchan bench --cpus 0,1                    what a channel costs here

Exit codes: 0 ended in order, 1 failed, 2 command line, 7 not connected, 8 the other side
died, 9 it broke the protocol; with COMMAND its own. See bulkhead-vchan(1).)";

/* A check that the library makes while it parses. */
template <typename RESULT>
CLI::Validator checked(std::string (*parse)(std::string_view, RESULT &), char const *kind)
{
	return CLI::Validator(
		[parse](std::string &text) {
			RESULT ignored;
			return parse(text, ignored);
		},
		kind);
}

/* Other than CLI::Range this also refuses what is no number. */
CLI::Validator seconds(double min, double max)
{
	return CLI::Validator(
		[min, max](std::string const &text) {
			double value = 0;
			bool const good =
				CLI::detail::lexical_cast(text, value) && value >= min && value <= max;
			return good ? std::string{}
						: fmt::format("'{}' is no number from {} to {}", text, min, max);
		},
		"SECONDS");
}

} // namespace

CLI::App *Vchan_command_line::_describe(char const *name, char const *text, char const *peer)
{
	CLI::App *const command = _vchan->add_subcommand(name, text);
	if (peer)
		command->add_option("peer", _peer, peer)
			->required()
			->check(checked(parse_address, "DOMAIN[:PORT]"));
	command
		->add_option("--transport", _channel.transport,
			"shm or socket, instead of BULKHEAD_VCHAN or the default")
		->check(CLI::IsMember({"shm", "socket"}));
	command
		->add_option("--spin", _channel.spin, "How often to look again, at most, before sleeping")
		->check(CLI::Range(0, int{BULKHEAD_VCHAN_SPIN_MAX}));
	command->add_flag("--json", _json, "For programs");
	if (!peer) return command;
	command
		->add_option("-d,--domain", _channel.own_domain, "The own domain, instead of VCHAN_DOMAIN")
		->check(CLI::Range(0, std::numeric_limits<int>::max()));
	command->add_option(
		"--directory", _channel.directory, "Where domains meet, instead of the usual place");
	command->add_option("-w,--timeout", _timeout_s, "Seconds to wait for the other side, at most")
		->check(seconds(0, TIMEOUT_MAX_S));
	return command;
}

void Vchan_command_line::_add_size(CLI::App *command)
{
	command
		->add_option("--size", _sizes,
			"Bytes of the rings, or READ:WRITE, with k or M; 0 for none that way (64k)")
		->check(checked(parse_sizes, "BYTES"));
}

void Vchan_command_line::_describe_relay(CLI::App *command, bool to_command)
{
	command->add_flag("-v,--verbose", _verbose, "Say on standard error what happens");
	command->add_flag("-x,--hex", _relay.hex,
		to_command ? "Dump both directions on standard error, too" : "Print a dump");
	if (to_command) command->footer("COMMAND follows --; its input and output are the channel.");
}

void Vchan_command_line::_describe_ping()
{
	_ping_command = _describe(
		"ping", "Measure round trips to whoever sends back what it gets", "The other domain");
	_ping_command->add_option("-c,--count", _ping.count, "How often")
		->capture_default_str()
		->check(CLI::Range(1u, Ping_options::COUNT_MAX));
	_ping_command->add_option("-s,--bytes", _ping.bytes, "Bytes at a time")
		->capture_default_str()
		->check(CLI::Range(size_t{1}, Ping_options::BYTES_MAX));
	_ping_command->add_option("-i,--interval", _ping.interval_s, "Seconds between two")
		->capture_default_str()
		->check(seconds(0, 1e4));
	_ping_command->add_flag("-q,--quiet", _ping.quiet, "The summary only");
	_ping_command->add_flag("--serve", _serve, "Be the one who sends back, as a server");
	_ping_command->add_flag("-k,--keep", _ping.keep, "With --serve: one client after another");
	_add_size(_ping_command);
}

void Vchan_command_line::_describe_bench()
{
	_bench_command = _describe("bench", "Measure what a channel costs on this machine", nullptr);
	_bench_command->add_option("--cpus", _cpus, "Where both sides run: CPU of both, or CPU,CPU")
		->check(checked(parse_cpus, "CPU[,CPU]"));
	_bench_command->add_option("--seconds", _bench.seconds, "For each measurement")
		->capture_default_str()
		->check(seconds(0.01, 60));
	_add_size(_bench_command);
}

Vchan_command_line::Vchan_command_line(CLI::App &app)
	: _vchan(app.add_subcommand("vchan", "Try, watch and measure channels between domains"))
{
	_vchan->require_subcommand(1);
	_vchan->footer(EXAMPLES);
	_listen = _describe("listen",
		"Wait for a client; connect it to standard input and output, or to a command",
		"The client's domain, and the port (512)");
	_listen->add_flag("-k,--keep", _relay.keep, "Serve one client after another");
	_add_size(_listen);
	_describe_relay(_listen, true);
	_connect = _describe("connect",
		"Find a server; connect it to standard input and output, or to a command",
		"The server's domain, and the port (512)");
	_describe_relay(_connect, true);
	_cat = _describe("cat", "Print what a server sends; send nothing, not even an end",
		"The server's domain, and the port (512)");
	_describe_relay(_cat, false);
	_describe_ping();
	_describe_bench();
}

void Vchan_command_line::take_command(std::vector<std::string> &arguments)
{
	auto const mark = std::ranges::find(arguments, "--");
	bool const ours = arguments.size() > 1 && arguments[0] == "vchan" &&
		(arguments[1] == "listen" || arguments[1] == "connect");
	if (!ours || mark == arguments.end() || mark + 1 == arguments.end()) return;
	_relay.command.assign(mark + 1, arguments.end());
	arguments.erase(mark, arguments.end());
}

Narrator::Form Vchan_command_line::_form() const
{
	if (_json) return Narrator::Form::JSON;
	return _verbose ? Narrator::Form::TEXT : Narrator::Form::TROUBLE_ONLY;
}

int Vchan_command_line::run()
{
	// Both were checked when they were parsed.
	if (!_peer.empty()) (void)parse_address(_peer, _channel.peer);
	if (!_sizes.empty()) (void)parse_sizes(_sizes, _channel.sizes);
	if ((*_bench_command || *_ping_command) && (!_channel.sizes.read || !_channel.sizes.write))
		return report(
			{Exit::USAGE, "--size: what is measured goes both ways, 0 is for listen only"});
	occupy_standard_descriptors();
	_channel.timeout_s = _timeout_s;
	_channel.server = *_listen || (*_ping_command && _serve);
	if (*_bench_command) {
		if (!_cpus.empty()) (void)parse_cpus(_cpus, _bench.cpus);
		_bench.channel = _channel;
		_bench.json = _json;
		return bench(_bench);
	}
	if (*_ping_command) {
		if (!_serve && (!_sizes.empty() || _ping.keep))
			return report({Exit::USAGE, "--size and --keep are for --serve only"});
		if (!_serve && _timeout_s < 0) _channel.timeout_s = PING_TIMEOUT_S;
		_ping.channel = _channel;
		_ping.json = _json;
		return _serve ? echo(_ping) : ping(_ping);
	}
	_relay.channel = _channel;
	_relay.form = _form();
	_relay.receive_only = _cat->parsed();
	return relay(_relay);
}

} // namespace bulkhead::tool
