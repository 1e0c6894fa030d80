// Kills random domains and the broker itself, again and again, under a load of calls:
// $BULKHEAD_KILLS times (default: a few). Who wasn't killed goes on, so do the calls of the broker
// that was, what should start again does, and nothing is left behind.

#include "platform/linux/clock.h"
#include "sdk/libvchan/shm_transport.h"
#include "sdk/qrexec/data_channel.h"
#include "tool/domains/control.h"
#include "tool/domains/status.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <poll.h>
#include <random>
#include <sstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead {
namespace {

namespace fs = std::filesystem;
using linux_host::Owned_fd;
using qrexec::Data_channel;
using tool::Control;
using tool::Domain_status;
using tool::Status;

constexpr unsigned KILLS = 40; // unless the environment says another number
constexpr unsigned LOADS = 5; // domains that call each other
constexpr unsigned OF_BROKER = 5; // every so manieth kill, on average
constexpr unsigned LOOK_EVERY = 25; // kills between two looks at the progress of all
constexpr uint64_t HANG_US = 60'000'000;

uint64_t now_us() { return linux_host::Monotonic_clock().now_us(); }

std::string text_of_file(fs::path const &path)
{
	std::ifstream file(path);
	return {std::istreambuf_iterator<char>(file), {}};
}

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

/* What a domain of load has seen (load/main.cc), by name. */
using Seen = std::map<std::string, uint64_t>;

class Reliability : public testing::Test
{
protected:
	fs::path _place = fs::temp_directory_path() / "bulkhead-reliability-XXXXXX";
	std::string const _system = "reliability-" + std::to_string(getpid());
	std::mt19937 _random{std::random_device()()};
	pid_t _keeper = -1;
	std::optional<Control> _control{};
	std::map<std::string, std::pair<int64_t, uint64_t>> _progress{}; // by domain: pid, calls
	uint64_t _domain_kills = 0, _broker_kills = 0, _broker_us = 0, _domain_us = 0;

	void SetUp() override
	{
		std::string place = _place;
		ASSERT_TRUE(mkdtemp(place.data()));
		_place = place;
		setenv("BULKHEAD_RUN_DIR", (_place / "run").c_str(), 1);
		setenv("BULKHEAD_COMPONENTS", BULKHEAD_COMPONENTS_BUILT, 1);
		// What the broker leaves behind is ours then.
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		std::ofstream(_place / "system.toml") << manifest();
	}

	void TearDown() override
	{
		if (_keeper > 0) kill(_keeper, SIGTERM);
		if (HasFailure()) {
			for (auto const &entry : fs::recursive_directory_iterator(_place))
				if (entry.path().extension() == ".log" || entry.path().filename() == "errors")
					std::fprintf(stderr, "--- %s\n%.4000s\n", entry.path().c_str(),
						tail(text_of_file(entry.path())).c_str());
		}
		fs::remove_all(_place);
	}

	static std::string tail(std::string const &text)
	{
		constexpr size_t SHOWN = 3000;
		return text.size() > SHOWN ? text.substr(text.size() - SHOWN) : text;
	}

	std::string manifest() const
	{
		std::string text = "[system]\nname = \"" + _system + "\"\nlogs = \"" +
			(_place / "logs").string() +
			"\"\npermit_weaker = [\"landlock\", \"memory_limit\", \"cpu_limit\", "
			"\"process_limit\"]\nrules = \"* * @anyvm @anyvm allow\"\n";
		for (unsigned i = 0; i < LOADS; ++i) {
			std::string const one = std::to_string(i);
			text += "[domain.load" + one + "]\ncomponent = \"load\"\n" +
				"services = [\"test.Echo\", \"test.Report\"]\nconfig = \"";
			for (unsigned j = 1; j < LOADS; ++j)
				text += "load" + std::to_string((i + j) % LOADS) + "\\n";
			text += i == 0 ? "shell\\nlazy\\n\"\n" : "\"\n";
		}
		std::string const programs =
			"files = [\"/usr\", \"/lib\", \"/lib64\", \"/bin\", { source = "
			"\"" BULKHEAD_CLIENT_VM_FOLDER "\", target = \"/client\" }]\n";
		text += "[domain.lazy]\ncomponent = \"load\"\nstart = \"on_call\"\nconfig = \"\"\n"
				"services = [\"test.Echo\", \"test.Report\"]\n";
		text += "[domain.once]\ncomponent = \"load\"\nrestart = \"never\"\nconfig = \"\"\n"
				"services = [\"test.Echo\", \"test.Report\"]\n";
		text += "[domain.shell]\n" + programs +
			"[domain.shell.service.\"test.Echo\"]\ncommand = [\"/bin/cat\"]\n";
		text += "[domain.caller]\n" + programs +
			"program = [\"/bin/sh\", \"-c\", \"while :; do echo x | /client/qrexec-client-vm load1 "
			"test.Echo > /dev/null; sleep 0.05; done\"]\n";
		return text;
	}

	void start()
	{
		int ends[2];
		ASSERT_EQ(pipe(ends), 0);
		Owned_fd const reading(ends[0]);
		Owned_fd writing(ends[1]);
		_keeper = fork();
		if (_keeper == 0) {
			int const errors =
				open((_place / "errors").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
			dup2(errors, STDERR_FILENO);
			std::string const ready = "--ready-fd=" + std::to_string(ends[1]);
			std::string const path = _place / "system.toml";
			execl(BULKHEAD_BROKER, BULKHEAD_BROKER, ready.c_str(), path.c_str(), nullptr);
			_exit(127);
		}
		writing.reset();
		char byte = 0;
		pollfd entry{.fd = reading.value(), .events = POLLIN, .revents = 0};
		ASSERT_EQ(poll(&entry, 1, static_cast<int>(HANG_US / 1000)), 1);
		ASSERT_EQ(read(reading.value(), &byte, 1), 1) << "the broker hasn't started";
	}

	// From whichever broker there is.
	Status status()
	{
		for (uint64_t const until_us = now_us() + HANG_US; now_us() < until_us;) {
			if (!_control) {
				auto opened = Control::open(_system);
				if (opened.ok()) _control.emplace(std::move(opened.value()));
			}
			auto const text = _control ? _control->status() : tool::Or_trouble<std::string>("");
			if (_control && text.ok()) {
				if (auto status = tool::read_status(text.value())) return *status;
			}
			_control.reset();
			usleep(1000);
		}
		ADD_FAILURE() << "the broker doesn't answer";
		return {};
	}

	Domain_status status_of(std::string const &name)
	{
		Status const all = status();
		Domain_status const *const found = all.find(name);
		EXPECT_TRUE(found) << name;
		return found ? *found : Domain_status{};
	}

	template <typename CONDITION>
	void until(std::string const &what, CONDITION condition)
	{
		uint64_t const until_us = now_us() + HANG_US;
		while (!condition() && !HasFatalFailure()) {
			if (now_us() > until_us) FAIL() << "in vain: " << what;
			usleep(1000);
		}
	}

	// Empty: it was in vain, this time.
	Seen try_report(std::string const &domain)
	{
		if (!_control) status();
		if (!_control || !_control->call(domain, "test.Report").ok()) return {};
		auto called = _control->wait();
		if (!called.ok()) {
			_control.reset();
			return {};
		}
		if (called.value().state != Control::Call::State::CONNECTED) return {};
		auto transport = std::make_unique<sdk::Shm_transport>();
		if (transport->adopt(std::move(called.value().end)) != 0) return {};
		std::string text;
		{
			Data_channel channel(std::move(transport), qrexec::Side::CALLER);
			text = all_of(channel);
		}
		_control->ended(called.value().params);
		Seen seen;
		std::istringstream words(text);
		std::string name;
		for (uint64_t value; words >> name >> value;) seen[name] = value;
		return seen;
	}

	static std::string all_of(Data_channel &channel)
	{
		std::string text;
		for (bool armed = false;;) {
			channel.look();
			auto const in = channel.peek();
			if (in.kind == Data_channel::Kind::EXIT_CODE) return text;
			if (in.kind == Data_channel::Kind::BYTES) {
				text += text_of(in.bytes);
				channel.consume(in.bytes.size());
			}
			bool const open = channel.state() != Data_channel::State::CLOSED &&
				channel.state() != Data_channel::State::BROKEN;
			if (!open) return {};
			if (in.kind != Data_channel::Kind::NOTHING) {
				armed = false;
				continue;
			}
			if (armed) {
				pollfd entry{.fd = channel.fd(), .events = POLLIN, .revents = 0};
				if (poll(&entry, 1, static_cast<int>(HANG_US / 1000)) != 1) return {};
			}
			channel.arm(true, false);
			armed = !armed;
		}
	}

	Seen report(std::string const &domain)
	{
		Seen seen;
		until("a report of " + domain, [&] {
			seen = try_report(domain);
			return !seen.empty();
		});
		EXPECT_EQ(seen["wrong"], 0U) << domain;
		return seen;
	}

	static std::string load(unsigned i) { return "load" + std::to_string(i); }

	// All have gone on since the last time, or have begun anew.
	void look_at_progress()
	{
		for (unsigned i = 0; i < LOADS && !HasFatalFailure(); ++i) {
			auto &[pid, calls] = _progress[load(i)];
			until("calls of " + load(i), [&] {
				int64_t const now = status_of(load(i)).pid;
				uint64_t const ok = report(load(i))["ok"];
				bool const more = ok > (now == pid ? calls : 0);
				if (more) std::tie(pid, calls) = std::pair(now, ok);
				return more;
			});
		}
	}

	std::map<std::string, int64_t> pids(Status const &of)
	{
		std::map<std::string, int64_t> all;
		for (Domain_status const &domain : of.domains) all[domain.name] = domain.pid;
		return all;
	}

	void kill_domain(std::string const &name)
	{
		Status const before = status();
		Domain_status const *const killed = before.find(name);
		ASSERT_TRUE(killed);
		if (!killed->running() || killed->pid <= 0) return; // of one that starts on call
		uint64_t const since_us = now_us();
		ASSERT_EQ(kill(static_cast<pid_t>(killed->pid), SIGKILL), 0);
		until(name + " running again", [&] {
			Domain_status const now = status_of(name);
			EXPECT_NE(now.state, "failed") << now.last_end;
			if (now.running() && now.pid != killed->pid) return true;
			// Instead of the pause before a restart.
			if (now.state == "waiting") (void)_control->ask(domain::Admin::START, name);
			return false;
		});
		_domain_us += now_us() - since_us;
		++_domain_kills;
		for (auto const &[other, pid] : pids(status()))
			if (other != name && before.find(other)->running())
				EXPECT_EQ(pid, before.find(other)->pid)
					<< other << ", when " << name << " was killed";
	}

	void kill_broker()
	{
		std::map<std::string, Seen> seen;
		for (unsigned i = 0; i < LOADS; ++i)
			until("a lasting call of " + load(i), [&] {
				seen[load(i)] = report(load(i));
				return seen[load(i)]["up"] == 1;
			});
		Status const before = status();
		uint64_t const since_us = now_us();
		ASSERT_EQ(kill(static_cast<pid_t>(before.pid), SIGKILL), 0);
		_control.reset();
		Status after;
		until("another broker", [&] {
			after = status();
			return after.pid != before.pid &&
				std::ranges::none_of(after.domains, [&](Domain_status const &domain) {
					return before.find(domain.name)->running() && !domain.running();
				});
		});
		_broker_us += now_us() - since_us;
		++_broker_kills;
		for (Domain_status const &domain : before.domains)
			if (domain.running()) EXPECT_EQ(pids(after)[domain.name], domain.pid) << domain.name;
		for (unsigned i = 0; i < LOADS && !HasFatalFailure(); ++i) {
			Seen &then = seen[load(i)];
			Seen now;
			until("the lasting call of " + load(i), [&] {
				now = report(load(i));
				return now["pings"] > then["pings"];
			});
			EXPECT_EQ(now["breaks"], then["breaks"]) << load(i);
		}
	}

	void kill_one()
	{
		if (_random() % OF_BROKER == 0) return kill_broker();
		std::vector<std::string> names{"shell", "caller", "lazy"};
		for (unsigned i = 0; i < LOADS; ++i) names.push_back(load(i));
		kill_domain(names[_random() % names.size()]);
	}

	/* Of broker and keeper, when nothing is under way. */
	struct Held
	{
		size_t broker, keeper;
		bool operator==(Held const &) const = default;
	};
	Held held()
	{
		pid_t const broker = static_cast<pid_t>(status().pid);
		return {descriptors_of(broker), descriptors_of(_keeper)};
	}
};

TEST_F(Reliability, goes_on_whatever_is_killed)
{
	char const *const wanted = std::getenv("BULKHEAD_KILLS");
	unsigned const kills =
		wanted ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : KILLS;
	std::string const mounts = text_of_file("/proc/self/mountinfo");
	ASSERT_NO_FATAL_FAILURE(start());
	look_at_progress();

	// What doesn't start again doesn't.
	int64_t const once = status_of("once").pid;
	ASSERT_GT(once, 0);
	ASSERT_EQ(kill(static_cast<pid_t>(once), SIGKILL), 0);

	for (char const *const name : {"load0", "shell", "caller", "load3"})
		ASSERT_NO_FATAL_FAILURE(kill_domain(name));
	ASSERT_NO_FATAL_FAILURE(kill_broker());
	until("the lazy one", [&] { return status_of("lazy").running(); });
	Held const before = held();
	uint64_t const keeper_kib = kib_of("/proc/" + std::to_string(_keeper) + "/status", "VmRSS");
	uint64_t const shared_kib = kib_of("/proc/meminfo", "Shmem");
	uint64_t const since_us = now_us();
	for (unsigned i = 1; i <= kills && !HasFailure(); ++i) {
		ASSERT_NO_FATAL_FAILURE(kill_one()) << "kill " << i;
		if (i % LOOK_EVERY == 0) ASSERT_NO_FATAL_FAILURE(look_at_progress()) << "kill " << i;
		if (wanted && i % 500 == 0)
			std::printf("%u kills, %.0f s\n", i, static_cast<double>(now_us() - since_us) / 1e6);
		std::fflush(stdout);
	}
	look_at_progress();
	until("the lazy one", [&] { return status_of("lazy").running(); });
	until("the same descriptors", [&] { return held() == before; });
	EXPECT_EQ(held().broker, before.broker);
	EXPECT_EQ(held().keeper, before.keeper);
	EXPECT_EQ(status_of("once").state, "failed");
	std::printf("%llu kills of domains (%.1f ms until it ran again), %llu of the broker (%.1f ms)\n"
				"descriptors: broker %zu, keeper %zu; keeper %llu → %llu KiB; shared memory %llu → "
				"%llu KiB\n",
		static_cast<unsigned long long>(_domain_kills),
		static_cast<double>(_domain_us) / 1e3 /
			static_cast<double>(std::max<uint64_t>(_domain_kills, 1)),
		static_cast<unsigned long long>(_broker_kills),
		static_cast<double>(_broker_us) / 1e3 /
			static_cast<double>(std::max<uint64_t>(_broker_kills, 1)),
		before.broker, before.keeper, static_cast<unsigned long long>(keeper_kib),
		static_cast<unsigned long long>(
			kib_of("/proc/" + std::to_string(_keeper) + "/status", "VmRSS")),
		static_cast<unsigned long long>(shared_kib),
		static_cast<unsigned long long>(kib_of("/proc/meminfo", "Shmem")));

	// The end: nothing is left.
	ASSERT_EQ(kill(_keeper, SIGTERM), 0);
	int ended = 0;
	ASSERT_EQ(waitpid(_keeper, &ended, 0), _keeper);
	_keeper = -1;
	EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0) << ended;
	EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process was left behind";
	EXPECT_EQ(text_of_file("/proc/self/mountinfo"), mounts);
	for (auto const &entry : fs::recursive_directory_iterator(_place / "run"))
		EXPECT_TRUE(entry.is_directory()) << entry.path();
}

} // namespace
} // namespace bulkhead
