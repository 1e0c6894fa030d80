// Many calls at once, and programs that are killed at any moment: nothing is lost, nothing hangs,
// nothing is left. $BULKHEAD_CALLS: calls of the crowd in all (100,000 are the aim; 5,000
// otherwise). $BULKHEAD_KILLS: how often each program is killed.

#include "component/qrexec/test/domains.h"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <poll.h>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

using Result = Domains::Result;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool SLOW = true;
#elif defined(__has_feature)
#	if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool SLOW = true;
#	else
constexpr bool SLOW = false;
#	endif
#else
constexpr bool SLOW = false;
#endif

unsigned from_environment(char const *name, unsigned otherwise)
{
	char const *const given = getenv(name);
	return given ? static_cast<unsigned>(strtoul(given, nullptr, 10)) : otherwise;
}

/* One caller of a crowd: a client that runs, again and again. */
struct Caller
{
	pid_t pid = -1;
	Owned_fd out{};
	std::string got{};
	unsigned number = 0;
};

class Qrexec_reliability : public Programs
{
protected:
	Domains domains{world};
	Domains::Running work = domains.start(5, "work");
	Domains::Running vault = domains.start(7, "vault");
	std::map<pid_t, int> exited{}; // status of processes that nobody has asked for yet

	static void SetUpTestSuite()
	{
		// Thousands of ends of pipes.
		rlimit limit{};
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}

	/* Exit code and output tell which call it was. */
	void serve_numbers()
	{
		world.script(vault.domain, "rpc", "test.Number", "echo \"$1\"; exit $(($1 % 100))\n");
		domains.start_policy("* * work vault allow\n* * vault work allow\n"
							 "* * work work allow\n",
			{"--calls-within-domain"});
	}

	void begin(Caller &caller, std::vector<std::string> const &command,
		std::vector<std::string> const &environment, unsigned number);
	bool finish(Caller &caller);
	int status_of(pid_t process);
	void crowd(unsigned callers, unsigned calls, bool from_the_host);
	std::vector<std::string> number_command(unsigned number, bool from_the_host) const;

	/* A stream that goes on until its input ends. */
	Client long_call() { return world.start_client_vm(work.domain, {"vault", "test.Echo"}); }

	static void expect_echo(Client &client, std::string const &text)
	{
		client.in.send_bytes(text);
		EXPECT_EQ(client.out.receive_bytes(text.size()), text);
	}

	void await_daemon(Domain const &domain)
	{
		Wire::connect(world.socket_directory() + "/qrexec." + domain.name).close();
	}

	void expect_alive()
	{
		EXPECT_EQ(
			domains.call(work.domain, "vault", "test.Echo", "alive"), (Result{0, "alive", ""}));
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_reliability, testing::Values("socket", "shm"), transport_name);

std::vector<std::string> Qrexec_reliability::number_command(
	unsigned number, bool from_the_host) const
{
	std::string const service = "test.Number+" + std::to_string(number);
	if (from_the_host)
		return world.host_client_command({"-d", "vault", me() + ":QUBESRPC " + service + " dom0"});
	return world.client_vm_command(work.domain, {"vault", service});
}

void Qrexec_reliability::begin(Caller &caller, std::vector<std::string> const &command,
	std::vector<std::string> const &environment, unsigned number)
{
	int ends[2];
	ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	caller.out.reset(ends[0]);
	Owned_fd const out(ends[1]);
	caller.got.clear();
	caller.number = number;
	std::vector<char *> arguments, variables;
	for (auto const &text : command) arguments.push_back(const_cast<char *>(text.c_str()));
	for (auto const &text : environment) variables.push_back(const_cast<char *>(text.c_str()));
	arguments.push_back(nullptr);
	variables.push_back(nullptr);
	caller.pid = vfork();
	if (caller.pid == 0) {
		int const null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(out.value(), 1);
		execve(arguments[0], arguments.data(), variables.data());
		_exit(200);
	}
	exited.erase(caller.pid); // one that had this number before
}

/*
 * Waits for a process. Others that have ended are taken in as well: workers of agents, which fall
 * to us, would use up the numbers of processes in some ten thousands of calls.
 */
int Qrexec_reliability::status_of(pid_t process)
{
	int status = 0;
	for (pid_t other; (other = waitpid(-1, &status, WNOHANG)) > 0;) exited[other] = status;
	if (auto const known = exited.extract(process)) return known.mapped();
	waitpid(process, &status, 0);
	return status;
}

/* Its output has ended: so has it. */
bool Qrexec_reliability::finish(Caller &caller)
{
	int const status = status_of(caller.pid);
	int const expected = static_cast<int>(caller.number % 100);
	EXPECT_TRUE(WIFEXITED(status)) << "call " << caller.number;
	EXPECT_EQ(WEXITSTATUS(status), expected) << "call " << caller.number;
	EXPECT_EQ(caller.got, std::to_string(caller.number) + "\n");
	return WIFEXITED(status) && WEXITSTATUS(status) == expected;
}

void Qrexec_reliability::crowd(unsigned callers, unsigned calls, bool from_the_host)
{
	std::vector<Caller> all(callers);
	std::vector<pollfd> polled(callers);
	std::vector<std::string> const environment =
		world.environment(from_the_host ? domains.host : work.domain);
	unsigned begun = 0, right = 0, ended = 0;
	auto const next = [&](size_t i) {
		if (begun < calls) begin(all[i], number_command(begun, from_the_host), environment, begun);
		polled[i] = {.fd = begun < calls ? all[i].out.value() : -1, .events = POLLIN, .revents = 0};
		++begun;
	};
	for (size_t i = 0; i < callers; ++i) next(i);
	while (ended < calls) {
		ASSERT_GT(poll(polled.data(), polled.size(), HANG_MS), 0)
			<< calls - ended << " calls are lost";
		for (size_t i = 0; i < callers; ++i) {
			if (!polled[i].revents) continue;
			char chunk[4096];
			ssize_t const n = read(all[i].out.value(), chunk, sizeof(chunk));
			if (n > 0) all[i].got.append(chunk, static_cast<size_t>(n));
			if (n != 0) continue;
			++ended;
			right += finish(all[i]);
			next(i);
		}
	}
	EXPECT_EQ(right, calls);
}

TEST_P(Qrexec_reliability, a_crowd_in_a_domain_loses_no_call)
{
	serve_numbers();
	crowd(100, from_environment("BULKHEAD_CALLS", SLOW ? 500 : 5000) / 2, false);
}

TEST_P(Qrexec_reliability, a_crowd_on_the_host_loses_no_call)
{
	serve_numbers();
	crowd(100, from_environment("BULKHEAD_CALLS", SLOW ? 500 : 5000) / 2, true);
}

TEST_P(Qrexec_reliability, more_than_256_calls_are_open_at_once)
{
	world.script(vault.domain, "rpc", "test.Echo", "exec cat\n");
	serve_numbers();
	std::vector<Client> clients;
	unsigned const calls = SLOW ? 260 : 400;
	for (unsigned i = 0; i < calls; ++i) clients.push_back(long_call());
	for (unsigned i = 0; i < calls; ++i) expect_echo(clients[i], "call " + std::to_string(i));
	for (unsigned i = 0; i < calls; ++i) expect_echo(clients[i], "again " + std::to_string(i));
	for (Client &client : clients) EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
}

TEST_P(Qrexec_reliability, calls_go_on_while_daemons_are_killed)
{
	world.script(vault.domain, "rpc", "test.Echo", "exec cat\n");
	serve_numbers();
	std::vector<Client> clients;
	for (unsigned i = 0; i < 20; ++i) clients.push_back(long_call());
	for (Client &client : clients) expect_echo(client, "before");
	for (unsigned round = 0; round < 3; ++round) {
		world.kill(*work.daemon);
		world.kill(*vault.daemon);
		for (Client &client : clients) expect_echo(client, "without");
		work.daemon = &domains.start_daemon(work.domain);
		vault.daemon = &domains.start_daemon(vault.domain);
		for (Client &client : clients) expect_echo(client, "after");
		expect_alive();
		for (unsigned i = 0; i < 5; ++i) {
			clients.push_back(long_call());
			expect_echo(clients.back(), "new");
		}
	}
	for (Client &client : clients) EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
	expect_alive();
}

TEST_P(Qrexec_reliability, calls_go_on_while_the_policy_daemon_is_killed)
{
	world.script(vault.domain, "rpc", "test.Echo", "exec cat\n");
	Process &policy = domains.start_policy("* * work vault allow\n");
	Client client = long_call();
	expect_echo(client, "before");
	world.kill(policy);
	expect_echo(client, "after");
	EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
	fs::remove(world.policy_socket());
}

/* Who is killed in the middle of a call. */
class Qrexec_kills : public Qrexec_reliability
{
protected:
	std::minstd_rand random{4};

	static unsigned rounds() { return from_environment("BULKHEAD_KILLS", SLOW ? 10 : 40); }

	void SetUp() override
	{
		world.script(vault.domain, "rpc", "test.Echo", "exec cat\n");
		// Says its number, so that it can be killed.
		world.script(vault.domain, "rpc", "test.Victim", "echo $$\nexec cat\n");
		domains.start_policy("* * work vault allow\n");
	}

	/* So much later, counted in what has gone over the wire: a random moment of a call. */
	void let_some_happen(Client &client)
	{
		size_t const bytes = random() % 3000;
		if (bytes % 3 == 0) return; // at once: while it connects
		expect_echo(client, std::string(bytes, 'x'));
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_kills, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_kills, of_a_caller_end_its_service)
{
	for (unsigned i = 0; i < rounds(); ++i) {
		Client client = long_call();
		let_some_happen(client);
		world.kill(*client.process);
	}
	expect_alive();
	eventually("the services to end", [&] { return vault.agent->children().empty(); });
}

TEST_P(Qrexec_kills, of_a_service_are_told_to_its_caller)
{
	for (unsigned i = 0; i < rounds(); ++i) {
		Client client = world.start_client_vm(work.domain, {"vault", "test.Victim"});
		std::string number;
		for (std::string byte; (byte = client.out.receive_bytes(1)) != "\n" && !byte.empty();)
			number += byte;
		let_some_happen(client);
		ASSERT_FALSE(number.empty());
		ASSERT_EQ(::kill(std::stoi(number), SIGKILL), 0);
		EXPECT_EQ(Domains::result(client).exit_code, 128 + SIGKILL);
	}
	expect_alive();
}

TEST_P(Qrexec_kills, of_a_service_behind_a_socket_are_told_to_its_caller)
{
	for (unsigned i = 0; i < rounds(); ++i) {
		Wire service = Wire::listen(vault.domain.folder + "/rpc/test.Socket");
		Client client = world.start_client_vm(work.domain, {"vault", "test.Socket"});
		service.accept();
		if (i % 2) (void)service.receive_bytes(5);
		service.close();
		EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
	}
	expect_alive();
}

TEST_P(Qrexec_kills, of_the_services_agent_and_its_workers_are_told_to_the_caller)
{
	for (unsigned i = 0; i < rounds() / 2; ++i) {
		Client client = long_call();
		expect_echo(client, "established");
		let_some_happen(client);
		std::vector<pid_t> const workers = vault.agent->children();
		world.kill(*vault.agent);
		for (pid_t const worker : workers) ::kill(worker, SIGKILL);
		if (!workers.empty()) {
			EXPECT_EQ(Domains::result(client).exit_code, 255);
		} else {
			// They aren't its children, and go on.
			Result const result = Domains::result(client);
			EXPECT_TRUE(result.exit_code == 255 || result.exit_code == 0) << result.exit_code;
		}
		eventually("the daemon to notice",
			[&] { return !fs::exists(world.socket_directory() + "/qrexec.7"); });
		vault.agent = &world.start_agent(vault.domain);
		await_daemon(vault.domain);
	}
	expect_alive();
}

TEST_P(Qrexec_kills, of_the_callers_agent_let_its_calls_go_on)
{
	for (unsigned i = 0; i < rounds() / 2; ++i) {
		Client client = long_call();
		expect_echo(client, "established");
		world.kill(*work.agent);
		eventually("the daemon to notice",
			[&] { return !fs::exists(world.socket_directory() + "/qrexec.5"); });
		expect_echo(client, "still there");
		work.agent = &world.start_agent(work.domain);
		await_daemon(work.domain);
		EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
	}
	expect_alive();
}

TEST_P(Qrexec_kills, of_a_daemon_while_a_call_begins_refuse_it_or_let_it_go_on)
{
	for (unsigned i = 0; i < rounds() / 2; ++i) {
		Client client = long_call();
		if (random() % 2) poll(nullptr, 0, static_cast<int>(random() % 4)); // somewhere in it
		Domains::Running &victim = i % 2 ? work : vault;
		world.kill(*victim.daemon);
		victim.daemon = &domains.start_daemon(victim.domain);
		client.in.send_bytes("data");
		Result const result = Domains::result(client);
		EXPECT_TRUE(
			result == (Result{0, "data", ""}) || result.exit_code == 126 || result.exit_code == 125)
			<< testing::PrintToString(result);
	}
	expect_alive();
}

TEST_P(Qrexec_kills, of_the_hosts_client_end_its_command)
{
	for (unsigned i = 0; i < rounds(); ++i) {
		Client client = world.start_host_client({"-d", "vault", me() + ":exec cat"});
		let_some_happen(client);
		world.kill(*client.process);
	}
	EXPECT_EQ(domains.host_call("vault", me() + ":cat", "alive"), (Result{0, "alive", ""}));
	eventually("the commands to end", [&] { return vault.agent->children().empty(); });
}

} // namespace
} // namespace bulkhead::qrexec::test
