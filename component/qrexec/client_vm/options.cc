#include "component/qrexec/client_vm/options.h"

#include "rpc/qrexec/message.h"
#include "sdk/qrexec/link.h"
#include "vchan/layout.h"

#include <algorithm>
#include <charconv>
#include <getopt.h>

namespace bulkhead::qrexec {
namespace {

constexpr int EXIT_USAGE = 2;

enum Long_only : int {
	NO_FILTER_STDOUT = 256,
	NO_FILTER_STDERR,
	STDIN_SOCKET,
	SOURCE,
	VERSION_OPTION,
};

option const LONG[] = {{"buffer-size", required_argument, nullptr, 'b'},
	{"filter-escape-chars-stdout", no_argument, nullptr, 't'},
	{"filter-escape-chars-stderr", no_argument, nullptr, 'T'},
	{"no-filter-escape-chars-stdout", no_argument, nullptr, NO_FILTER_STDOUT},
	{"no-filter-escape-chars-stderr", no_argument, nullptr, NO_FILTER_STDERR},
	{"agent-socket", required_argument, nullptr, 'a'},
	{"prefix-data", required_argument, nullptr, 'p'},
	{"use-stdin-socket", no_argument, nullptr, STDIN_SOCKET},
	{"source-qube", required_argument, nullptr, SOURCE}, {"help", no_argument, nullptr, 'h'},
	{"version", no_argument, nullptr, VERSION_OPTION}, {nullptr, 0, nullptr, 0}};

// Decimal, or with 0x; upstream takes octal, too, which nobody means.
bool read_ring_bytes(std::string_view text, size_t &bytes)
{
	int base = 10;
	if (text.starts_with("0x")) {
		base = 16;
		text.remove_prefix(2);
	}
	auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes, base);
	return error == std::errc{} && end == text.data() + text.size() && bytes <= vchan::RING_MAX;
}

/* Empty, or what is wrong. */
std::string take(Client_vm_options &options, int letter, int &status)
{
	switch (letter) {
	case 'b':
		if (read_ring_bytes(optarg, options.ring_bytes)) return {};
		status = EXIT_TROUBLE;
		return "--buffer-size=" + std::string(optarg) + ": a number of bytes, at most " +
			std::to_string(vchan::RING_MAX);
	case 't': options.replace_characters = true; break;
	case 'T': options.replace_error_characters = true; break;
	case NO_FILTER_STDOUT: options.replace_characters = false; break;
	case NO_FILTER_STDERR: options.replace_error_characters = false; break;
	case 'a': options.agent_socket = optarg; break;
	case 'p':
		if (!options.prefix.empty()) return "--prefix-data can be given once";
		options.prefix = optarg;
		break;
	case STDIN_SOCKET:
		if (options.stdin_is_socket) return "--use-stdin-socket can be given once";
		options.stdin_is_socket = true;
		break;
	case SOURCE: options.source = optarg; break;
	case 'h': options.help = true; break;
	case VERSION_OPTION: options.version = true; break;
	default: return "there is no such option, or its value is missing";
	}
	return {};
}

// What getopt_long has just refused.
std::string wrong_option(char **argv)
{
	bool const at_end = optopt == 0 || std::string_view(argv[optind - 1]).starts_with("--");
	return at_end ? argv[optind - 1] : std::string("-") + static_cast<char>(optopt);
}

} // namespace

std::optional<Client_vm_options> read_client_vm_options(
	int argc, char **argv, std::string &why, int &status)
{
	Client_vm_options options;
	status = EXIT_USAGE;
	optind = 0;
	opterr = 0;
	for (int letter; (letter = getopt_long(argc, argv, "+tTa:hp:", LONG, nullptr)) != -1;) {
		why = take(options, letter, status);
		if (letter == '?') why = wrong_option(argv) + ": " + why;
		if (!why.empty()) return {};
	}
	if (options.help || options.version) return options;
	if (argc - optind < 2) {
		why = "a target and a service are needed";
		return {};
	}
	options.target = argv[optind];
	std::replace(options.target.begin(), options.target.end(), '$', '@');
	options.service = argv[optind + 1];
	options.program.assign(argv + optind + 2, argv + argc);
	if (options.stdin_is_socket && !options.program.empty()) {
		why = "--use-stdin-socket and a local program exclude each other";
		return {};
	}
	return options;
}

std::string client_vm_usage()
{
	return "Usage: qrexec-client-vm [OPTION]... TARGET SERVICE[+ARGUMENT] [PROGRAM [ARGUMENT]...]\n"
		   "Calls a service of another domain, if the policy allows it.\n\n"
		   "  --buffer-size=BYTES  of the connection, each way, at least (524288)\n"
		   "  -t, --filter-escape-chars-stdout\n"
		   "                       replaces what isn't printable ASCII by underscores (usual if\n"
		   "                       standard output is a terminal)\n"
		   "  -T, --filter-escape-chars-stderr\n"
		   "                       the same of the service's errors\n"
		   "  --no-filter-escape-chars-stdout, --no-filter-escape-chars-stderr\n"
		   "                       leaves them as they are\n"
		   "  --agent-socket=PATH  where the agent is (" +
		std::string(AGENT_SOCKET) +
		")\n"
		"  -p, --prefix-data=TEXT\n"
		"                       is sent before standard input\n"
		"  --use-stdin-socket   standard input is a socket, for both ways\n"
		"  --source-qube=NAME   calls for a remote qube that this domain relays for\n"
		"  -h, --help           this text\n"
		"      --version        version\n"
		"\n"
		"Exit codes: that of the service, or of a program that failed; 125: trouble of qrexec,\n"
		"126: refused, 127: no such service, 255: the other side has gone, 2: bad usage.\n";
}

} // namespace bulkhead::qrexec
