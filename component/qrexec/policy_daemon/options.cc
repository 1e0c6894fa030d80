#include "component/qrexec/policy_daemon/options.h"

#include "component/qrexec/host/usage.h"

#include <charconv>
#include <cstring>
#include <getopt.h>

namespace bulkhead::qrexec {

namespace {

// As upstream's, for wrong use.
constexpr int WRONG_USE = 2;

enum Option : int {
	HELP = 'h',
	VERSION = 'V',
	POLICY_PATH = 256,
	SOCKET_PATH,
	EVAL_SOCKET_PATH,
	GUI_SOCKET_PATH,
	COMPAT_PATH,
	SYSTEM_INFO,
	SYSTEM_INFO_MAX_AGE,
	QUBESD_SOCKET,
	SERVICE_PATH,
	QREXEC_CLIENT,
	CALLS_WITHIN_DOMAIN,
	ASSUME_YES,
	JUST_EVALUATE,
};

constexpr char DAEMON_HELP[] =
	"Usage: qrexec-policy-daemon [OPTION]...\n"
	"Decides which calls between domains may be made: answers from memory on a socket.\n\n"
	"  --policy-path=DIR         policy files; may be repeated, the first counts first\n"
	"                            (/run/qubes/policy.d, then /etc/qubes/policy.d)\n"
	"  --socket-path=PATH        where daemons ask (/var/run/qubes/policy.sock)\n"
	"  --eval-socket-path=PATH   where domains ask (/etc/qubes-rpc/policy.EvalSimple)\n"
	"  --gui-socket-path=PATH    where GUI domains ask (/etc/qubes-rpc/policy.EvalGUI)\n";
constexpr char EXEC_HELP[] =
	"Usage: qrexec-policy-exec [OPTION]... SOURCE TARGET SERVICE[+ARGUMENT]\n"
	"Decides one call without the policy daemon, and prints the answer.\n"
	"Exit code: 0 allowed, 1 not.\n\n"
	"  --assume-yes-for-ask      as if a person had agreed to the target\n"
	"  --just-evaluate           decide only; prints no more than the result\n"
	"  --path=DIR                policy files; may be repeated, the first counts first\n"
	"                            (/run/qubes/policy.d, then /etc/qubes/policy.d)\n";
constexpr char COMMON_HELP[] =
	"  --compat-path=DIR         files of the old format (/etc/qubes-rpc/policy)\n"
	"  --system-info=FILE        domains, as JSON; else qubesd is asked\n"
	"  --system-info-max-age=MS  how old what qubesd has said may be (0: ask each time)\n"
	"  --qubesd-socket=PATH      where qubesd is (/var/run/qubesd.internal.sock)\n"
	"  --service-path=DIR        where policy.Ask and policy.Notify of this host are\n"
	"                            (/etc/qubes-rpc)\n"
	"  --qrexec-client=PATH      the program that calls those of a GUI domain\n"
	"                            (/usr/bin/qrexec-client)\n"
	"  --calls-within-domain     let a domain call itself where the policy allows it\n"
	"  -h, --help, -V, --version\n";

constexpr option DAEMON_OPTIONS[] = {{"help", no_argument, nullptr, HELP},
	{"version", no_argument, nullptr, VERSION},
	{"policy-path", required_argument, nullptr, POLICY_PATH},
	{"socket-path", required_argument, nullptr, SOCKET_PATH},
	{"eval-socket-path", required_argument, nullptr, EVAL_SOCKET_PATH},
	{"gui-socket-path", required_argument, nullptr, GUI_SOCKET_PATH},
	{"compat-path", required_argument, nullptr, COMPAT_PATH},
	{"system-info", required_argument, nullptr, SYSTEM_INFO},
	{"system-info-max-age", required_argument, nullptr, SYSTEM_INFO_MAX_AGE},
	{"qubesd-socket", required_argument, nullptr, QUBESD_SOCKET},
	{"service-path", required_argument, nullptr, SERVICE_PATH},
	{"qrexec-client", required_argument, nullptr, QREXEC_CLIENT},
	{"calls-within-domain", no_argument, nullptr, CALLS_WITHIN_DOMAIN}, {}};
constexpr option EXEC_OPTIONS[] = {{"help", no_argument, nullptr, HELP},
	{"version", no_argument, nullptr, VERSION},
	{"assume-yes-for-ask", no_argument, nullptr, ASSUME_YES},
	{"just-evaluate", no_argument, nullptr, JUST_EVALUATE},
	{"path", required_argument, nullptr, POLICY_PATH},
	{"compat-path", required_argument, nullptr, COMPAT_PATH},
	{"system-info", required_argument, nullptr, SYSTEM_INFO},
	{"system-info-max-age", required_argument, nullptr, SYSTEM_INFO_MAX_AGE},
	{"qubesd-socket", required_argument, nullptr, QUBESD_SOCKET},
	{"service-path", required_argument, nullptr, SERVICE_PATH},
	{"qrexec-client", required_argument, nullptr, QREXEC_CLIENT},
	{"calls-within-domain", no_argument, nullptr, CALLS_WITHIN_DOMAIN}, {}};

Exit_code wrong(std::string_view what) { return {wrong_use(WRONG_USE, what)}; }

/* Those that both have. Nothing: taken. */
class Common
{
private:
	char const *const _help;
	bool _own_policy = false;

	std::optional<Exit_code> _take_age(Office_options &office) const
	{
		char const *const end = optarg + strlen(optarg);
		auto const result = std::from_chars(optarg, end, office.system.max_age_ms);
		if (result.ec == std::errc() && result.ptr == end && office.system.max_age_ms <= 86'400'000)
			return {};
		return wrong("--system-info-max-age: milliseconds, at most a day");
	}

public:
	explicit Common(char const *help) : _help(help) {}

	std::optional<Exit_code> take(int option, Office_options &office)
	{
		switch (option) {
		case HELP:
			print(_help);
			print(COMMON_HELP);
			return Exit_code{0};
		case VERSION: print_version(); return Exit_code{0};
		case POLICY_PATH:
			if (!std::exchange(_own_policy, true)) office.policy.clear();
			office.policy.emplace_back(optarg);
			return {};
		case COMPAT_PATH: office.compat = optarg; return {};
		case SYSTEM_INFO: office.system.file = optarg; return {};
		case SYSTEM_INFO_MAX_AGE: return _take_age(office);
		case QUBESD_SOCKET: office.system.qubesd = optarg; return {};
		case SERVICE_PATH: office.ways.services = optarg; return {};
		case QREXEC_CLIENT: office.ways.client = optarg; return {};
		case CALLS_WITHIN_DOMAIN: office.calls_within_domain = true; return {};
		// getopt has said what is wrong.
		default: log_where_help_is(); return Exit_code{WRONG_USE};
		}
	}
};

} // namespace

std::variant<Daemon_options, Exit_code> parse_daemon_options(int argc, char **argv)
{
	Daemon_options options;
	Common common(DAEMON_HELP);
	name_program_for_getopt(argv);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "hV", DAEMON_OPTIONS, nullptr)) != -1;)
		switch (option) {
		case SOCKET_PATH: options.socket = optarg; break;
		case EVAL_SOCKET_PATH: options.eval_socket = optarg; break;
		case GUI_SOCKET_PATH: options.gui_socket = optarg; break;
		default:
			if (auto const exit = common.take(option, options.office)) return *exit;
		}
	if (optind < argc) return wrong("takes no arguments");
	return options;
}

std::variant<Exec_options, Exit_code> parse_exec_options(int argc, char **argv)
{
	Exec_options options;
	Common common(EXEC_HELP);
	name_program_for_getopt(argv);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "hV", EXEC_OPTIONS, nullptr)) != -1;)
		switch (option) {
		case ASSUME_YES: options.assume_yes = true; break;
		case JUST_EVALUATE: options.just_evaluate = true; break;
		default:
			if (auto const exit = common.take(option, options.office)) return *exit;
		}
	if (argc - optind == 5)
		return wrong(
			"five arguments, to make the call itself, are out of use: let qrexec-daemon make it");
	if (argc - optind != 3) return wrong("needs SOURCE, TARGET and SERVICE+ARGUMENT");
	options.source = argv[optind];
	options.target = argv[optind + 1];
	options.service = argv[optind + 2];
	return options;
}

} // namespace bulkhead::qrexec
