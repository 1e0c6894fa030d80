// qrexec-fork-server: carries calls within the session of a user.

#include "component/qrexec/fork_server/fork_server.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "component/qrexec/host/usage.h"
#include "platform/linux/signals.h"

#include <cstdlib>

namespace {

using namespace bulkhead;
using namespace bulkhead::qrexec;

constexpr size_t DESCRIPTORS = 65536;

constexpr int EXIT_USAGE = 1;

constexpr char HELP[] =
	"Usage: qrexec-fork-server [PATH]\n"
	"Carries calls to this domain within the session that it is started in, in the background.\n\n"
	"  PATH        the socket where the agent finds it (/var/run/qubes/qrexec-server.$USER.sock)\n"
	"  -h, --help  this text\n"
	"  --version   version\n";

/* Empty: there is none, as nobody says who the user is. */
std::string usual_path()
{
	char const *const user = getenv("USER");
	if (!user || !*user || std::string_view(user).find('/') != std::string_view::npos) return {};
	return "/var/run/qubes/qrexec-server." + std::string(user) + ".sock";
}

/* In the background, from when it listens: who has started it may go on. */
int serve(std::string const &path)
{
	Serving serving{};
	serving.places = Places::from_environment();
	serving.with_user = false;
	if (char const *const shell = getenv("SHELL"); shell && *shell) serving.shell = shell;
	rlimit files{};
	getrlimit(RLIMIT_NOFILE, &files);
	raise_descriptor_limit(DESCRIPTORS);

	linux_host::Loop loop;
	if (!loop.usable().ok()) {
		log("too many open files: raise the limit (ulimit -n)");
		return EXIT_TROUBLE;
	}
	Fork_server server(loop, std::move(serving), files);
	std::string why;
	if (!server.start(path, why)) {
		log(why);
		return EXIT_TROUBLE;
	}
	pid_t const child = fork();
	if (child < 0) {
		log("can't go into the background: ", errno_text(errno));
		return EXIT_TROUBLE;
	}
	if (child > 0) _exit(0); // the socket is the child's
	// Not before: a loop hears only of the signals of the process that has told it of them.
	linux_host::Stop_signals signals{loop};
	if (!signals.start().ok()) log("signals can't be taken: the socket will be left behind");
	server.prepare();
	loop.run();
	server.stop();
	return 0;
}

} // namespace

int main(int argc, char **argv)
{
	prepare_process();
	std::string_view const argument = argc == 2 ? argv[1] : "";
	if (argument == "-h" || argument == "--help") {
		print(HELP);
		return 0;
	}
	if (argument == "--version") {
		print_version();
		return 0;
	}
	if (argument.starts_with('-'))
		return wrong_use(EXIT_USAGE, argument, ": there is no such option");
	if (argc > 2) return wrong_use(EXIT_USAGE, "it takes one path, or none");
	std::string const path = argument.empty() ? usual_path() : std::string(argument);
	if (path.empty())
		return wrong_use(
			EXIT_USAGE, "whose session is it? set USER, or give the path of the socket");
	return serve(path);
}
