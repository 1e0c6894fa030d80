// Kills random domains and the broker itself, again and again, under a load of calls:
// $BULKHEAD_KILLS times (default: a few). Who wasn't killed goes on, so do the calls of the broker
// that was, what should start again does, and nothing is left behind.

#include "component/broker/test/running_system.h"

#include <algorithm>
#include <map>
#include <random>
#include <sstream>

namespace bulkhead::broker::test {
namespace {

namespace fs = std::filesystem;
using tool::Domain_status;
using tool::Status;

constexpr unsigned KILLS = 40; // unless the environment says another number
constexpr unsigned LOADS = 5; // domains that call each other
constexpr unsigned OF_BROKER = 10; // every so manieth kill, on average
constexpr unsigned LOOK_EVERY = 25; // kills between two looks at the progress of all

size_t descriptors_of(pid_t process)
{
	size_t count = 0;
	std::error_code gone;
	for ([[maybe_unused]] auto const &entry :
		fs::directory_iterator("/proc/" + std::to_string(process) + "/fd", gone))
		++count;
	return count;
}

// A line of /proc/PID/status or /proc/meminfo, in KiB.
uint64_t kib_of(fs::path const &path, std::string const &name)
{
	std::istringstream lines(text_of_file(path));
	for (std::string line; std::getline(lines, line);)
		if (line.starts_with(name + ":")) return std::strtoull(&line[name.size() + 1], nullptr, 10);
	return 0;
}

uint64_t kib_of(pid_t process)
{
	return kib_of("/proc/" + std::to_string(process) + "/status", "VmRSS");
}

/* What a domain of load has seen (load/main.cc), by name. */
using Seen = std::map<std::string, uint64_t>;

/* How long something took, so many times. */
struct Times
{
	uint64_t count = 0, sum_us = 0, longest_us = 0;

	void add(uint64_t us)
	{
		++count;
		sum_us += us;
		longest_us = std::max(longest_us, us);
	}
	double mean_ms() const
	{
		return count ? static_cast<double>(sum_us) / 1e3 / static_cast<double>(count) : 0;
	}
};

class Reliability : public testing::Test
{
protected:
	Running_system _system{};
	std::mt19937 _random{std::random_device()()};
	std::map<std::string, std::pair<int64_t, uint64_t>> _progress{}; // by domain: pid, calls
	Times _of_domains{}, _of_broker{};

	static std::string load(unsigned i) { return "load" + std::to_string(i); }

	static std::string domains()
	{
		static std::string const LOAD =
			"component = \"load\"\nservices = [\"test.Echo\", \"test.Report\"]\n";
		std::string text;
		for (unsigned i = 0; i < LOADS; ++i) {
			text += "[domain." + load(i) + "]\n" + LOAD + "config = \"";
			for (unsigned j = 1; j < LOADS; ++j) text += load((i + j) % LOADS) + "\\n";
			text += i == 0 ? "shell\\nlazy\\n\"\n" : "\"\n";
		}
		text += "[domain.lazy]\n" + LOAD + "start = \"on_call\"\nconfig = \"\"\n";
		text += "[domain.once]\n" + LOAD + "restart = \"never\"\nconfig = \"\"\n";
		text += "[domain.shell]\n" + PROGRAMS_SEE +
			"[domain.shell.service.\"test.Echo\"]\ncommand = [\"/bin/cat\"]\n";
		text += "[domain.caller]\n" + PROGRAMS_SEE +
			"program = [\"/bin/sh\", \"-c\", \"while :; do echo x | /client/qrexec-client-vm "
			"load1 test.Echo > /dev/null; sleep 0.05; done\"]\n";
		return text;
	}

	Seen report(std::string const &domain)
	{
		std::string text;
		_system.until("a report of " + domain, [&] {
			text.clear();
			return _system.call(domain, "test.Report", {}, text) == 0;
		});
		Seen seen;
		std::istringstream words(text);
		std::string name;
		for (uint64_t value; words >> name >> value;) seen[name] = value;
		EXPECT_EQ(seen["wrong"], 0U) << domain;
		return seen;
	}

	// All have gone on since the last time, or have begun anew.
	void look_at_progress()
	{
		for (unsigned i = 0; i < LOADS; ++i) {
			auto &[pid, calls] = _progress[load(i)];
			_system.until("calls of " + load(i), [&] {
				int64_t const now = _system.status_of(load(i)).pid;
				uint64_t const ok = report(load(i))["ok"];
				bool const more = ok > (now == pid ? calls : 0);
				if (more) std::tie(pid, calls) = std::pair(now, ok);
				return more;
			});
		}
	}

	static std::map<std::string, int64_t> pids(Status const &of)
	{
		std::map<std::string, int64_t> all;
		for (Domain_status const &domain : of.domains) all[domain.name] = domain.pid;
		return all;
	}

	void expect_others_as_before(Status const &before, std::string const &killed)
	{
		for (auto const &[name, pid] : pids(_system.status())) {
			if (name == killed || !before.find(name)->running()) continue;
			EXPECT_EQ(pid, before.find(name)->pid) << name << ", when " << killed << " was killed";
		}
	}

	void kill_domain(std::string const &name)
	{
		Status const before = _system.status();
		Domain_status const *const killed = before.find(name);
		ASSERT_TRUE(killed);
		if (!killed->running() || killed->pid <= 0) return; // one that starts on call
		uint64_t const since_us = now_us();
		ASSERT_EQ(kill(static_cast<pid_t>(killed->pid), SIGKILL), 0);
		_system.until(name + " running again", [&] {
			Domain_status const now = _system.status_of(name);
			EXPECT_NE(now.state, "failed") << now.last_end;
			if (now.running() && now.pid != killed->pid) return true;
			// Instead of the pause before a restart.
			if (now.state == "waiting") _system.ask(domain::Admin::START, name);
			return false;
		});
		_of_domains.add(now_us() - since_us);
		expect_others_as_before(before, name);
	}

	// Waits for each one's lasting call to be there.
	std::map<std::string, Seen> lasting_calls()
	{
		std::map<std::string, Seen> seen;
		for (unsigned i = 0; i < LOADS; ++i)
			_system.until("a lasting call of " + load(i), [&] {
				seen[load(i)] = report(load(i));
				return seen[load(i)]["up"] == 1;
			});
		return seen;
	}

	void kill_broker()
	{
		auto seen = lasting_calls();
		Status const before = _system.status();
		uint64_t const since_us = now_us();
		ASSERT_EQ(kill(static_cast<pid_t>(before.pid), SIGKILL), 0);
		_system.forget_broker();
		_system.until("another broker", [&] {
			Status const after = _system.status();
			auto const away = [&](Domain_status const &domain) {
				return before.find(domain.name)->running() && !domain.running();
			};
			return after.pid != before.pid && std::ranges::none_of(after.domains, away);
		});
		_of_broker.add(now_us() - since_us);
		expect_others_as_before(before, "the broker");
		for (auto &[name, then] : seen) {
			Seen now;
			_system.until("the lasting call of " + name, [&] {
				now = report(name);
				return now["pings"] > then["pings"];
			});
			EXPECT_EQ(now["breaks"], then["breaks"]) << name;
		}
	}

	void kill_one()
	{
		if (_random() % OF_BROKER == 0) return kill_broker();
		std::vector<std::string> names{"shell", "caller", "lazy"};
		for (unsigned i = 0; i < LOADS; ++i) names.push_back(load(i));
		kill_domain(names[_random() % names.size()]);
	}

	void kill_so_many(unsigned kills, bool tells)
	{
		uint64_t const since_us = now_us();
		for (unsigned i = 1; i <= kills && !HasFailure(); ++i) {
			kill_one();
			if (i % LOOK_EVERY == 0) look_at_progress();
			_system.take_in_orphans();
			if (!tells || i % 500 != 0) continue;
			std::printf("%u kills, %.0f s\n", i, static_cast<double>(now_us() - since_us) / 1e6);
			std::fflush(stdout);
		}
	}

	/* Descriptors of broker and keeper, as soon as nothing is under way. */
	std::pair<size_t, size_t> held()
	{
		return {descriptors_of(static_cast<pid_t>(_system.status().pid)),
			descriptors_of(_system.keeper())};
	}
};

TEST_F(Reliability, goes_on_whatever_is_killed)
{
	char const *const wanted = std::getenv("BULKHEAD_KILLS");
	unsigned const kills =
		wanted ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : KILLS;
	ASSERT_NO_FATAL_FAILURE(_system.start(domains()));
	look_at_progress();

	// What isn't to start again doesn't.
	int64_t const once = _system.status_of("once").pid;
	ASSERT_GT(once, 0);
	ASSERT_EQ(kill(static_cast<pid_t>(once), SIGKILL), 0);
	_system.until(
		"the end of the one", [&] { return _system.status_of("once").state == "failed"; });

	for (char const *const name : {"load0", "shell", "caller", "load3"}) kill_domain(name);
	EXPECT_EQ(_system.status_of("once").state, "failed");
	kill_broker();
	_system.until("the lazy one", [&] { return _system.status_of("lazy").running(); });
	auto const before = held();
	uint64_t const keeper_kib = kib_of(_system.keeper());
	uint64_t const shared_kib = kib_of("/proc/meminfo", "Shmem");
	kill_so_many(kills, wanted);
	look_at_progress();
	_system.until("the lazy one", [&] { return _system.status_of("lazy").running(); });
	std::pair<size_t, size_t> after;
	_system.until("as many descriptors as before", [&] { return (after = held()) == before; });
	EXPECT_EQ(after, before);
	// A broker that has taken over knows that it isn't to run, not why.
	EXPECT_EQ(_system.status_of("once").state, "stopped");
	std::printf(
		"%llu kills of domains: %.1f ms until it ran again (longest %.0f), %llu of the broker: "
		"%.1f ms (%.0f)\ndescriptors: broker %zu, keeper %zu; keeper %llu KiB, then %llu; "
		"shared memory of the machine %llu KiB, then %llu\n",
		static_cast<unsigned long long>(_of_domains.count), _of_domains.mean_ms(),
		static_cast<double>(_of_domains.longest_us) / 1e3,
		static_cast<unsigned long long>(_of_broker.count), _of_broker.mean_ms(),
		static_cast<double>(_of_broker.longest_us) / 1e3, before.first, before.second,
		static_cast<unsigned long long>(keeper_kib),
		static_cast<unsigned long long>(kib_of(_system.keeper())),
		static_cast<unsigned long long>(shared_kib),
		static_cast<unsigned long long>(kib_of("/proc/meminfo", "Shmem")));
	_system.stop();
}

} // namespace
} // namespace bulkhead::broker::test
