// A program in a sandbox tries to get out in all ways that test/escapee.cc knows; the same program
// outside, as root, shows that the ways are ways.

#include "platform/linux/sandbox/test/inmate.h"
#include "platform/linux/sandbox/test/unprivileged.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

using namespace bulkhead;
using namespace bulkhead::linux_host;

namespace {

constexpr uid_t USER = 0x70000123;

/* What there is on the host to get at. */
class Host
{
private:
	int _tcp = -1;
	int _abstract = -1;
	int _memory = -1;

public:
	pid_t victim = -1;
	std::string secret = testing::TempDir() + "bulkhead-secret-" + std::to_string(getpid());
	int port = 0;

	explicit Host(uid_t user)
	{
		// A victim of the same user, who may trace it if anybody may.
		victim = fork();
		if (victim == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			(void)!setresuid(user, user, user);
			prctl(PR_SET_DUMPABLE, 1);
			for (;;) pause();
		}
		int const file = open(secret.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		close(file);
		_tcp = socket(AF_INET, SOCK_STREAM, 0); // inherited: not closed by exec
		sockaddr_in address{};
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		socklen_t bytes = sizeof address;
		EXPECT_EQ(bind(_tcp, reinterpret_cast<sockaddr *>(&address), bytes), 0);
		EXPECT_EQ(listen(_tcp, 64), 0);
		getsockname(_tcp, reinterpret_cast<sockaddr *>(&address), &bytes);
		port = ntohs(address.sin_port);
		sockaddr_un name{};
		name.sun_family = AF_UNIX;
		int const length = snprintf(name.sun_path + 1, 64, "bulkhead-escape-%d", port);
		_abstract = socket(AF_UNIX, SOCK_STREAM, 0);
		EXPECT_EQ(bind(_abstract, reinterpret_cast<sockaddr *>(&name),
					  static_cast<socklen_t>(sizeof(sa_family_t) + 1 + size_t(length))),
			0);
		EXPECT_EQ(listen(_abstract, 64), 0);
		_memory = shmget(0x62756c6b, 4096, IPC_CREAT | 0666);
	}
	Host(Host const &) = delete;
	~Host()
	{
		kill(victim, SIGKILL);
		waitpid(victim, nullptr, 0);
		unlink(secret.c_str());
		close(_tcp);
		close(_abstract);
		shmctl(_memory, IPC_RMID, nullptr);
	}

	std::vector<std::string> arguments(std::string const &way) const
	{
		return {way, std::to_string(victim), secret, std::to_string(port)};
	}
};

/* Runs it outside, as this user. */
Ended run_outside(std::vector<std::string> words)
{
	Ended ended;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) return ended;
	pid_t const pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		words.insert(words.begin(), "escapee");
		std::vector<char *> arguments;
		for (std::string &word : words) arguments.push_back(word.data());
		arguments.push_back(nullptr);
		setsid();
		execv(ESCAPEE, arguments.data());
		_exit(127);
	}
	close(ends[1]);
	char text[4096];
	for (ssize_t bytes; (bytes = read(ends[0], text, sizeof text)) > 0;)
		ended.output.append(text, size_t(bytes));
	close(ends[0]);
	waitpid(pid, &ended.status, 0);
	return ended;
}

std::vector<std::string> ways() { return lines(run_outside({}).output); }

bool may_be_allowed(std::string const &way, std::string const &profile)
{
	// Own processes may be signalled, own memory be executed; nothing of the host's is reached.
	return way == "signal everybody" && profile == "@program";
}

void nobody_gets_out(uid_t broker, std::string const &profile)
{
	Host const host(broker == 0 ? USER : broker);
	for (std::string const &way : ways()) {
		Sandbox sandbox = sandbox_of(ESCAPEE, host.arguments(way), {profile});
		if (broker == 0) sandbox.user = sandbox.group = USER;
		if (profile == "@program") {
			sandbox.proc = true;
			sandbox.scratch_bytes = 1 << 20;
		}
		Ended const ended = run(sandbox);
		ASSERT_EQ(ended.why, "") << way;
		bool const killed = WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGSYS;
		bool const in = ended.output.starts_with("in: ") || (killed && ended.output.empty());
		EXPECT_TRUE(in || may_be_allowed(way, profile))
			<< way << ": " << ended.output << " status " << ended.status;
		if (getenv("BULKHEAD_SHOW"))
			printf("%-45s %s\n", way.c_str(), killed ? "killed" : ended.output.c_str());
	}
}

/* Of those that leave nothing behind. */
constexpr char const *WAYS_OUTSIDE[]{"open a file of the host", "open a secret", "open sysfs",
	"use what is inherited", "break out of a chroot", "connect to the host by TCP",
	"connect to the host by an abstract name", "socket of packets", "socket of raw IP",
	"trace the victim", "signal the victim", "signal a thread of the victim",
	"read the victim's memory", "hold the victim", "take the victim's descriptor",
	"enter the victim's namespaces", "compare with the victim", "slow the victim", "add a key",
	"own user namespace", "own mount namespace", "clone with a user namespace",
	"clone3 with a user namespace", "keep a capability", "become root", "gain by executing",
	"attach the host's memory", "forge a sender", "raise its priority", "fixed addresses"};

TEST(Escape, is_possible_for_root_outside)
{
	if (geteuid() != 0) GTEST_SKIP() << "needs root";
	Host const host(USER);
	for (char const *const way : WAYS_OUTSIDE)
		EXPECT_THAT(run_outside(host.arguments(way)).output, testing::HasSubstr("out\n")) << way;
}

TEST(Escape, fails_from_a_talking_component) { nobody_gets_out(geteuid(), "@talk"); }

TEST(Escape, fails_from_a_program) { nobody_gets_out(geteuid(), "@program"); }

TEST(Escape, fails_from_a_component_of_an_unprivileged_broker)
{
	as_unprivileged([] { nobody_gets_out(geteuid(), "@talk"); });
}

TEST(Escape, fails_from_a_program_of_an_unprivileged_broker)
{
	as_unprivileged([] { nobody_gets_out(geteuid(), "@program"); });
}

} // namespace
