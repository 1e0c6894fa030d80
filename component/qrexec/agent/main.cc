// qrexec-agent: calls of a domain to others, and of others to it.

#include "component/qrexec/agent/agent.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "component/qrexec/host/session.h"
#include "component/qrexec/host/usage.h"
#include "platform/linux/signals.h"
#include "sdk/qrexec/link.h"

#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <getopt.h>

namespace {

using namespace bulkhead;
using namespace bulkhead::qrexec;

constexpr char FORK_SERVERS[] = "/var/run/qubes/qrexec-server.%s.sock";
constexpr char MEMINFO_WRITER[] = "/var/run/meminfo-writer.pid";
constexpr size_t DESCRIPTORS = 65536;
constexpr int EXIT_USAGE = 2;

constexpr char HELP[] =
	"Usage: qrexec-agent [OPTION]...\n"
	"Carries calls of this domain ($VCHAN_DOMAIN) to others, and of others to it.\n\n"
	"  -a, --agent-socket=PATH    where programs ask for calls (/var/run/qubes/qrexec-agent)\n"
	"  -s, --fork-server-socket=PATH  where fork servers are, %s is the user; empty: nowhere\n"
	"                             (/var/run/qubes/qrexec-server.%s.sock)\n"
	"  -S, --no-fork-server       nowhere\n"
	"  -h, --help                 this text\n"
	"      --version              version\n"
	"\n"
	"Exit codes: 0: ended by a signal, 2: bad usage, 125: it can't run.\n";

/* Whether to go on; else `status`. */
bool read_options(int argc, char **argv, Agent_options &options, int &status)
{
	enum { VERSION_OPTION = 256 };
	static option const LONG[] = {{"help", no_argument, nullptr, 'h'},
		{"version", no_argument, nullptr, VERSION_OPTION},
		{"agent-socket", required_argument, nullptr, 'a'},
		{"fork-server-socket", required_argument, nullptr, 's'},
		{"no-fork-server", no_argument, nullptr, 'S'}, {nullptr, 0, nullptr, 0}};
	name_program_for_getopt(argv);
	for (int letter; (letter = getopt_long(argc, argv, "ha:s:S", LONG, nullptr)) != -1;) {
		switch (letter) {
		case 'a': options.socket = optarg; break;
		case 's': options.fork_servers = optarg; break;
		case 'S': options.fork_servers.clear(); break;
		case 'h':
			print(HELP);
			status = 0;
			return false;
		case VERSION_OPTION:
			print_version();
			status = 0;
			return false;
		default:
			log_where_help_is();
			status = EXIT_USAGE;
			return false;
		}
	}
	if (optind == argc) return true;
	status =
		wrong_use(EXIT_USAGE, "\"", std::string_view(argv[optind]), "\": it takes no arguments");
	return false;
}

/* Qubes' memory balancing begins with the first call: until then a domain is starting. */
void wake_meminfo_writer()
{
	linux_host::Owned_fd const file(::open(MEMINFO_WRITER, O_RDONLY | O_CLOEXEC));
	if (!file) return;
	char text[16];
	ssize_t const size = read(file.value(), text, sizeof(text));
	pid_t process = 0;
	if (size > 0) std::from_chars(text, text + size, process);
	if (process > 1) kill(process, SIGUSR1);
}

/*
 * Calls of this process go on in another one, which nobody has to wait for. They are its alone:
 * here not even a destructor may touch them.
 */
[[noreturn]] void leave(linux_host::Loop &loop, Agent const &agent)
{
	int const status = agent.broken() ? EXIT_TROUBLE : 0;
	if (agent.calls_here() > 0 && fork() == 0)
		while (agent.calls_here() > 0) loop.poll(NEVER_US);
	_exit(status);
}

} // namespace

int main(int argc, char **argv)
{
	prepare_process();
	Agent_options options{};
	options.socket = AGENT_SOCKET;
	options.fork_servers = FORK_SERVERS;
	options.ready = [] { notify_ready(); };
	options.used = wake_meminfo_writer;
	int status = EXIT_TROUBLE;
	if (!read_options(argc, argv, options, status)) return status;
	getrlimit(RLIMIT_NOFILE, &options.files);
	raise_descriptor_limit(DESCRIPTORS);

	linux_host::Loop loop;
	if (!loop.usable().ok()) {
		log("too many open files: raise the limit (ulimit -n)");
		return EXIT_TROUBLE;
	}
	std::optional<linux_host::Stop_signals> signals{std::in_place, loop};
	if (!signals->start().ok()) {
		log("signals can't be taken: too many open files");
		return EXIT_TROUBLE;
	}
	Sessions sessions;
	Serving serving{};
	serving.places = Places::from_environment();
	serving.log_in = &sessions;
	Agent agent(loop, std::move(serving), std::move(options));
	if (std::string why; !agent.start(why)) {
		log(why);
		return EXIT_TROUBLE;
	}
	loop.run();
	agent.stop();
	signals.reset();
	leave(loop, agent);
}
