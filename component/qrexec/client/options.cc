#include "component/qrexec/client/options.h"

#include "component/qrexec/client/connect.h"
#include "component/qrexec/host/usage.h"
#include "rpc/qrexec/name.h"

#include <charconv>
#include <getopt.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

constexpr int USAGE = 1; // exit code, as upstream

enum Long_option { SOCKET_DIR = 256, USE_STDIN_SOCKET, VERSION_OPTION };

option const LONG_OPTIONS[] = {
	{"help", no_argument, nullptr, 'h'},
	{"version", no_argument, nullptr, VERSION_OPTION},
	{"socket-dir", required_argument, nullptr, SOCKET_DIR},
	{"no-exit-code", no_argument, nullptr, 'E'},
	{"use-stdin-socket", no_argument, nullptr, USE_STDIN_SOCKET},
	{nullptr, 0, nullptr, 0},
};

constexpr std::string_view HELP =
	"Usage: qrexec-client [OPTION]... -d DOMAIN [-l PROGRAM | -c IDENT,NAME,ID | -e] USER:COMMAND\n"
	"Runs a command, or a service (USER:QUBESRPC SERVICE+ARGUMENT dom0), in a domain.\n"
	"\n"
	"  -d DOMAIN             name, id or uuid:… of the domain; dom0 with -c: run it here\n"
	"  -l PROGRAM            connect the command with this local program, not with this terminal\n"
	"  -e                    only start the command\n"
	"  -c IDENT,NAME,ID      answer the request IDENT of the domain NAME, whose id is ID\n"
	"  -W                    with -c and a domain: wait for the end of the call\n"
	"  -E, --no-exit-code    exit with 0 whatever the command returns\n"
	"  -t, -T                replace bytes that are no text by _ in the output, in the errors\n"
	"  -w SECONDS            wait so long for the domain to connect (default 5; 0: for ever)\n"
	"  -k                    kill the domain at the end\n"
	"      --use-stdin-socket  standard input is a socket, for both ways\n"
	"      --socket-dir=PATH   where the daemons' sockets are (default /run/qubes)\n"
	"  -h, --help            this text\n"
	"      --version         version\n"
	"\n"
	"Exit codes: that of the command; 125: trouble of qrexec, 126: refused, 127: no such service,\n"
	"255: the domain went away, 1: bad usage.\n";

Parsed_options exit_with(int code) { return {{}, code}; }

template <typename... ARGS>
Parsed_options misuse(ARGS const &...args)
{
	return exit_with(wrong_use(USAGE, args...));
}

template <typename T>
std::optional<T> number(std::string_view text)
{
	T value{};
	auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	if (error != std::errc{} || end != text.data() + text.size()) return {};
	return value;
}

// What options mean together.
Parsed_options checked(Client_options options)
{
	if (options.domain.empty()) return misuse("which domain? Name it with -d");
	if (options.just_exec + options.request.has_value() + options.local_command.has_value() > 1)
		return misuse("of -e, -l and -c only one can be");
	if (options.local_command && options.stdin_socket)
		return misuse("of -l and --use-stdin-socket only one can be");
	if (refers_to_host(options.domain) && !options.request)
		return misuse("the host runs commands only for a domain that has asked: give -c, or start "
					  "the command itself");
	if (options.command.empty()) return misuse("the command is empty");
	if (!refers_to_host(options.domain) && !options.command.contains(':'))
		return misuse("as whom? A command begins with its user, as in DEFAULT:",
			std::string_view(options.command).substr(0, 60));
	// A command for the host passes no control ring.
	size_t const most = refers_to_host(options.domain) ? COMMAND_MAX - 1 : CONTROL_COMMAND_MAX;
	if (options.command.size() > most) {
		log("the command has ", options.command.size(), " bytes, and at most ", most,
			" can be carried; shorten it, or send the rest through standard input");
		return exit_with(EXIT_REFUSED);
	}
	return {std::move(options), 0};
}

class Parser
{
private:
	Client_options _options{};

	Parsed_options _value(int option, std::string_view text);

public:
	// Nothing said: go on.
	std::optional<Parsed_options> take(int option);
	Parsed_options finish(int argc, char **argv);
};

Parsed_options Parser::_value(int option, std::string_view text)
{
	if (option == 'c') {
		if (_options.request) return misuse("-c can be given once");
		_options.request = parse_request(text);
		if (!_options.request)
			return misuse("-c ", text, ": it has to be IDENT,NAME,ID, with an ident of up to 31 ",
				"letters, digits, blanks, _ - or .");
	} else {
		auto const seconds = number<int>(text);
		if (!seconds || *seconds < 0)
			return misuse("-w ", text, ": it has to be a number of seconds");
		_options.timeout_s = *seconds;
	}
	return {std::move(_options), 0};
}

std::optional<Parsed_options> Parser::take(int option)
{
	switch (option) {
	case 'd': _options.domain = optarg; break;
	case 'l': _options.local_command = optarg; break;
	case 'e': _options.just_exec = true; break;
	case 'E': _options.exit_code = false; break;
	case 't': _options.replace_output = true; break;
	case 'T': _options.replace_errors = true; break;
	case 'W': _options.wait_for_end = true; break;
	case 'k': _options.kill = true; break;
	case SOCKET_DIR: _options.socket_directory = optarg; break;
	case USE_STDIN_SOCKET: _options.stdin_socket = true; break;
	case 'c':
	case 'w': {
		Parsed_options result = _value(option, optarg);
		if (!result.options) return result;
		_options = std::move(*result.options);
		break;
	}
	case 'h': print(HELP); return exit_with(0);
	case VERSION_OPTION: print_version(); return exit_with(0);
	default: log_where_help_is(); return exit_with(USAGE);
	}
	return {};
}

Parsed_options Parser::finish(int argc, char **argv)
{
	if (optind >= argc) return misuse("which command? It comes after the options");
	_options.command = argv[optind];
	if (_options.socket_directory.empty()) _options.socket_directory = default_socket_directory();
	return checked(std::move(_options));
}

} // namespace

std::optional<Request> parse_request(std::string_view text)
{
	size_t const first = text.find(',');
	if (first == text.npos) return {};
	std::string_view const ident = text.substr(0, first);
	text.remove_prefix(first + 1);
	size_t const second = text.find(',');
	if (second == text.npos) return {};
	std::string_view const name = text.substr(0, second);
	auto const id = number<uint32_t>(text.substr(second + 1));
	if (!valid_ident(ident) || name.empty() || !id) return {};
	return Request{std::string(ident), std::string(name), *id};
}

Parsed_options parse_options(int argc, char **argv)
{
	Parser parser;
	name_program_for_getopt(argv);
	while (true) {
		int const option = getopt_long(argc, argv, "hd:l:eEc:tTw:Wk", LONG_OPTIONS, nullptr);
		if (option < 0) return parser.finish(argc, argv);
		if (auto result = parser.take(option)) return std::move(*result);
	}
}

} // namespace bulkhead::qrexec
