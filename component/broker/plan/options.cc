#include "component/broker/plan/options.h"

#include "platform/linux/runtime_directory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <getopt.h>
#include <string_view>
#include <unistd.h>

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
Options finish(std::string_view text, int exit_code = 0)
{
	(void)!write(exit_code ? STDERR_FILENO : STDOUT_FILENO, text.data(), text.size());
	return {.exit_code = exit_code};
}

Options misuse(std::string_view what)
{
	say(what);
	return finish("bulkhead-broker: see bulkhead-broker --help\n", WRONG_USE);
}

/* Twice as often as systemd waits for (sd_watchdog_enabled(3)), if it does and that is sooner. */
uint64_t sign_of_life_us(uint64_t otherwise_us)
{
	constexpr uint64_t LEAST_US = 10'000;
	char const *const text = getenv("WATCHDOG_USEC");
	uint64_t const limit_us = text ? strtoull(text, nullptr, 10) : 0;
	return limit_us ? std::clamp(limit_us / 2, LEAST_US, otherwise_us) : otherwise_us;
}

std::string absolute(char const *path)
{
	std::array<char, PATH_MAX> whole;
	return realpath(path, whole.data()) ? whole.data() : path;
}

} // namespace

std::string this_program()
{
	std::array<char, PATH_MAX> path;
	ssize_t const size = readlink("/proc/self/exe", path.data(), path.size());
	return {path.data(), size > 0 ? static_cast<size_t>(size) : 0};
}

void say(std::string_view text)
{
	while (!text.empty()) {
		std::string_view const line = text.substr(0, text.find('\n'));
		text.remove_prefix(std::min(line.size() + 1, text.size()));
		std::string const whole = std::string("bulkhead-broker: ").append(line).append("\n");
		(void)!write(STDERR_FILENO, whole.data(), whole.size());
	}
}

Options read_options(int argc, char **argv)
{
	Options settings;
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
			if (settings.run_directory.empty())
				settings.run_directory = linux_host::runtime_directory();
			settings.sign_of_life_us = sign_of_life_us(settings.sign_of_life_us);
			return settings;
		}
	}
}

} // namespace bulkhead::broker
