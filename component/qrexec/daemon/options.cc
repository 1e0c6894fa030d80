#include "component/qrexec/daemon/options.h"

#include "component/qrexec/host/usage.h"
#include "rpc/qrexec/name.h"
#include "sdk/qrexec/link.h"

#include <charconv>
#include <cstdlib>
#include <getopt.h>

namespace bulkhead::qrexec {
namespace {

constexpr int USAGE = 1; // exit code, as upstream

enum Long_option { SOCKET_DIR = 256, VERSION_OPTION };

option const LONG_OPTIONS[] = {
	{"help", no_argument, nullptr, 'h'},
	{"version", no_argument, nullptr, VERSION_OPTION},
	{"quiet", no_argument, nullptr, 'q'},
	{"socket-dir", required_argument, nullptr, SOCKET_DIR},
	{"policy-program", required_argument, nullptr, 'p'},
	{"direct", no_argument, nullptr, 'D'},
	{"uuid", required_argument, nullptr, 'u'},
	{nullptr, 0, nullptr, 0},
};

constexpr std::string_view HELP =
	"Usage: qrexec-daemon [OPTION]... ID NAME [DEFAULT-USER]\n"
	"Carries questions between the agent of the domain with this id and name, and the host.\n"
	"\n"
	"  -u, --uuid=UUID         the domain's uuid, by which it is found as well\n"
	"  -D, --direct            stay in the foreground, with messages on standard error\n"
	"  -q, --quiet             say nothing while the agent is awaited\n"
	"  -p, --policy-program=PATH  asked where no policy daemon runs\n"
	"                          (default /usr/bin/qrexec-policy-exec)\n"
	"      --socket-dir=PATH   where the socket is made (default /run/qubes)\n"
	"  -h, --help              this text\n"
	"      --version           version\n"
	"\n"
	"Exit codes: 0: connected (or ended by a signal), 1: failed, 3: no agent.\n";

Parsed_settings exit_with(int code) { return {{}, code}; }

template <typename... ARGS>
Parsed_settings misuse(ARGS const &...args)
{
	return exit_with(wrong_use(USAGE, args...));
}

std::optional<uint32_t> number(std::string_view text)
{
	uint32_t value = 0;
	auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	if (error != std::errc{} || end != text.data() + text.size()) return {};
	return value;
}

// The name becomes a part of paths; one of digits only would be in the place of another's id.
bool fit_for_a_name(std::string_view name)
{
	bool const path_part = !name.empty() && name.size() < DOMAIN_NAME_BYTES && clean(name, {}) &&
		!name.starts_with('.');
	return path_part && name.find_first_not_of("0123456789") != name.npos;
}

void take_environment(Settings &settings)
{
	if (char const *const path = getenv("QREXEC_POLICY_SOCKET"); path && *path)
		settings.policy_socket = path;
	if (getenv("QREXEC_STARTUP_NOWAIT")) settings.startup_timeout_s = 0;
	char const *const seconds = getenv("QREXEC_STARTUP_TIMEOUT");
	if (!seconds || settings.startup_timeout_s == 0) return;
	// Nonsense is ignored, as upstream.
	if (auto const given = number(seconds); given && *given > 0 && *given < 1U << 30)
		settings.startup_timeout_s = static_cast<int>(*given);
}

Parsed_settings finish(Settings settings, std::span<char *const> rest)
{
	if (rest.size() < 2 || rest.size() > 3)
		return misuse("an id and a name of a domain have to be given, and a default user may be");
	auto const id = number(rest[0]);
	if (!id || *id == 0 || *id > INT32_MAX)
		return misuse("\"", std::string_view(rest[0]),
			"\" is no id of a domain: it is a number from 1; 0 is the host");
	settings.domain = *id;
	settings.name = rest[1];
	if (!fit_for_a_name(settings.name))
		return misuse("\"", settings.name,
			"\" is no name of a domain: letters, digits, _ - and ., not only digits");
	if (rest.size() == 3) settings.default_user = rest[2];
	if (settings.uuid.starts_with("uuid:")) settings.uuid.erase(0, 5);
	if (!settings.uuid.empty() && !fit_for_a_name(settings.uuid))
		return misuse("\"", settings.uuid, "\" is no uuid");
	if (settings.socket_directory.empty()) settings.socket_directory = default_socket_directory();
	take_environment(settings);
	getrlimit(RLIMIT_NOFILE, &settings.descriptors);
	return {std::move(settings), 0};
}

} // namespace

Parsed_settings parse_settings(int argc, char **argv)
{
	Settings settings;
	name_program_for_getopt(argv);
	while (true) {
		switch (getopt_long(argc, argv, "hqp:Du:", LONG_OPTIONS, nullptr)) {
		case -1:
			return finish(std::move(settings),
				std::span(argv, static_cast<size_t>(argc)).subspan(static_cast<size_t>(optind)));
		case 'q': settings.quiet = true; break;
		case 'D': settings.direct = true; break;
		case 'p': settings.policy_program = optarg; break;
		case 'u': settings.uuid = optarg; break;
		case SOCKET_DIR: settings.socket_directory = optarg; break;
		case 'h': print(HELP); return exit_with(0);
		case VERSION_OPTION: print_version(); return exit_with(0);
		default: log_where_help_is(); return exit_with(USAGE);
		}
	}
}

} // namespace bulkhead::qrexec
