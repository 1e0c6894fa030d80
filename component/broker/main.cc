// bulkhead-broker: runs a system of domains, as its manifest says.

#include "component/broker/keeper.h"
#include "component/broker/machine.h"

#include <array>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <getopt.h>
#include <sys/resource.h>

namespace bulkhead::broker {
namespace {

constexpr std::string_view HELP =
	"Usage: bulkhead-broker [OPTION]... MANIFEST\n"
	"Runs the domains of a system, and connects their calls as its policy says.\n"
	"\n"
	"      --check          only look for faults in manifest, policy and this machine\n"
	"      --foreground     stay in the foreground, as it does anyway\n"
	"      --ready-fd=N     descriptor to which READY=1 is written once the domains run\n"
	"      --run-dir=PATH   where the directories of systems are (default $BULKHEAD_RUN_DIR,\n"
	"                       /run/bulkhead, or $XDG_RUNTIME_DIR/bulkhead of users)\n"
	"  -v, --verbose        say more\n"
	"  -h, --help           this text\n"
	"      --version        version\n"
	"\n"
	"Exit codes: 0: stopped, 1: failed, 2: wrong use, 3: faults in the manifest or policy, 12: "
	"this\n"
	"machine can't do it, 13: the system runs already.\n";

enum Long_option { CHECK = 256, FOREGROUND, READY_FD, RUN_DIR, VERSION };

option const LONG_OPTIONS[] = {
	{"help", no_argument, nullptr, 'h'},
	{"version", no_argument, nullptr, VERSION},
	{"check", no_argument, nullptr, CHECK},
	{"foreground", no_argument, nullptr, FOREGROUND},
	{"ready-fd", required_argument, nullptr, READY_FD},
	{"run-dir", required_argument, nullptr, RUN_DIR},
	{"verbose", no_argument, nullptr, 'v'},
	{nullptr, 0, nullptr, 0},
};

/* Says a text where it is looked for; there is nothing more to do. */
int finish(std::string_view text, int exit_code = 0)
{
	(void)!write(exit_code ? STDERR_FILENO : STDOUT_FILENO, text.data(), text.size());
	return exit_code;
}

int misuse(std::string_view what)
{
	say(what);
	return finish("bulkhead-broker: see bulkhead-broker --help\n", WRONG_USE);
}

std::string absolute(char const *path)
{
	std::array<char, PATH_MAX> whole;
	return realpath(path, whole.data()) ? whole.data() : path;
}

/* As many descriptors as may be had: a few for each domain. */
void raise_limits()
{
	rlimit limit{};
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	signal(SIGPIPE, SIG_IGN);
}

int run(Machine::Settings settings, char **argv)
{
	raise_limits();
	bool const kept = getenv(KEEPER_VARIABLE) || (getenv("NOTIFY_SOCKET") && getenv("FDSTORE"));
	if (!kept && !settings.check) return keep(argv, settings.ready_fd);
	Descriptors stored = take_stored();
	Notify notify = settings.check ? Notify() : Notify::of_environment();
	Machine machine(std::move(settings), notify);
	int const code = machine.prepare(stored);
	return code || machine.checks() ? code : machine.run();
}

int main(int argc, char **argv)
{
	Machine::Settings settings;
	argv[0] = program_invocation_short_name;
	while (true) {
		switch (getopt_long(argc, argv, "hv", LONG_OPTIONS, nullptr)) {
		case 'h': return finish(HELP);
		case VERSION: return finish("bulkhead-broker " BULKHEAD_VERSION "\n");
		case 'v': settings.verbose = true; break;
		case CHECK: settings.check = true; break;
		case FOREGROUND: break;
		case RUN_DIR: settings.run_directory = optarg; break;
		case READY_FD: {
			std::string_view const text = optarg;
			auto const [end, error] =
				std::from_chars(text.data(), text.data() + text.size(), settings.ready_fd);
			if (error != std::errc{} || end != text.data() + text.size())
				return misuse("--ready-fd wants the number of an open descriptor");
			break;
		}
		default: return finish("bulkhead-broker: see bulkhead-broker --help\n", WRONG_USE);
		case -1:
			if (optind + 1 != argc) return misuse("the manifest of one system has to be given");
			settings.manifest = absolute(argv[optind]);
			if (settings.run_directory.empty()) settings.run_directory = default_run_directory();
			return run(std::move(settings), argv);
		}
	}
}

} // namespace
} // namespace bulkhead::broker

int main(int argc, char **argv) { return bulkhead::broker::main(argc, argv); }
