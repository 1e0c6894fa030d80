#pragma once

// A system that runs for a test: the real broker below its keeper, with the components, as they are
// built or where $BULKHEAD_BROKER and $BULKHEAD_COMPONENTS say, in a directory of its own; and the
// test as its operator. Needs nothing of the machine but what a broker does.

#include "platform/linux/clock.h"
#include "sdk/libvchan/shm_transport.h"
#include "sdk/qrexec/data_channel.h"
#include "tool/domains/control.h"
#include "tool/domains/status.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::broker::test {

/* Longer than a machine that is busy needs for anything. */
inline constexpr uint64_t HANG_US = 60'000'000;

inline uint64_t now_us() { return linux_host::Monotonic_clock().now_us(); }

inline std::string text_of_file(std::filesystem::path const &path)
{
	std::ifstream file(path);
	return {std::istreambuf_iterator<char>(file), {}};
}

class Running_system
{
private:
	std::filesystem::path _place =
		std::filesystem::temp_directory_path() / "bulkhead-system-XXXXXX";
	std::string const _name = "test-" + std::to_string(getpid());
	pid_t _keeper = -1;
	std::optional<tool::Control> _control{};

	static std::string _tail(std::string const &text)
	{
		constexpr size_t SHOWN = 3000;
		return text.size() > SHOWN ? text.substr(text.size() - SHOWN) : text;
	}

	// All of its output, and how it has ended; nothing: it hasn't.
	static std::optional<int> _finish(
		qrexec::Data_channel &channel, std::string input, std::string &text)
	{
		using Kind = qrexec::Data_channel::Kind;
		using State = qrexec::Data_channel::State;
		for (bool armed = false;;) {
			channel.look();
			size_t const sent = channel.send(qrexec::Stream::IN, bytes_of(input));
			input.erase(0, sent);
			if (input.empty()) channel.send_end(qrexec::Stream::IN);
			auto const in = channel.peek();
			if (in.kind == Kind::EXIT_CODE) return in.exit_code;
			if (in.kind == Kind::BYTES) {
				if (in.stream == qrexec::Stream::OUT) text += text_of(in.bytes);
				channel.consume(in.bytes.size());
			}
			if (channel.state() == State::CLOSED || channel.state() == State::BROKEN) return {};
			if (in.kind != Kind::NOTHING || sent > 0) {
				armed = false;
				continue;
			}
			if (armed) {
				pollfd entry{.fd = channel.fd(), .events = POLLIN, .revents = 0};
				if (poll(&entry, 1, static_cast<int>(HANG_US / 1000)) != 1) return {};
			}
			channel.arm(true, true);
			armed = !armed;
		}
	}

public:
	Running_system()
	{
		std::string place = _place;
		if (!mkdtemp(place.data())) abort();
		_place = place;
		setenv("BULKHEAD_RUN_DIR", (_place / "run").c_str(), 1);
		setenv("BULKHEAD_COMPONENTS", BULKHEAD_COMPONENTS_BUILT, 0);
		setenv("BULKHEAD_BROKER", BULKHEAD_BROKER_BUILT, 0);
		// What a broker leaves behind is ours then.
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	}
	Running_system(Running_system const &) = delete;
	Running_system &operator=(Running_system const &) = delete;
	~Running_system()
	{
		if (_keeper > 0) kill(_keeper, SIGTERM);
		if (testing::Test::HasFailure()) show_logs();
		std::filesystem::remove_all(_place);
	}

	std::filesystem::path const &place() const { return _place; }
	pid_t keeper() const { return _keeper; }
	std::string log_of(std::string const &domain) const
	{
		return text_of_file(_place / "logs" / (domain + ".log"));
	}

	void show_logs() const
	{
		for (auto const &entry : std::filesystem::recursive_directory_iterator(_place))
			if (entry.path().extension() == ".log" || entry.path().filename() == "errors")
				std::fprintf(stderr, "--- %s\n%s\n", entry.path().c_str(),
					_tail(text_of_file(entry.path())).c_str());
	}

	/* The domains of a manifest, of which all may call all. */
	void start(std::string const &domains)
	{
		std::ofstream(_place / "system.toml")
			<< "[system]\nname = \"" << _name << "\"\nlogs = \"" << (_place / "logs").string()
			<< "\"\npermit_weaker = [\"landlock\", \"memory_limit\", \"cpu_limit\", "
			   "\"process_limit\"]\nrules = \"* * @anyvm @anyvm allow\"\n"
			<< domains;
		int ends[2];
		ASSERT_EQ(pipe(ends), 0);
		linux_host::Owned_fd const reading(ends[0]);
		linux_host::Owned_fd writing(ends[1]);
		_keeper = fork();
		if (_keeper == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			int const errors =
				open((_place / "errors").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
			dup2(errors, STDERR_FILENO);
			std::string const ready = "--ready-fd=" + std::to_string(ends[1]);
			std::string const path = _place / "system.toml";
			char const *const broker = getenv("BULKHEAD_BROKER");
			execl(broker, broker, ready.c_str(), path.c_str(), nullptr);
			_exit(127);
		}
		writing.reset();
		char byte = 0;
		pollfd entry{.fd = reading.value(), .events = POLLIN, .revents = 0};
		ASSERT_EQ(poll(&entry, 1, static_cast<int>(HANG_US / 1000)), 1);
		ASSERT_EQ(read(reading.value(), &byte, 1), 1) << "the broker hasn't started";
	}

	/* To whichever broker there is now. */
	void forget_broker() { _control.reset(); }

	tool::Status status()
	{
		for (uint64_t const until_us = now_us() + HANG_US; now_us() < until_us;) {
			if (!_control) {
				auto opened = tool::Control::open(_name);
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

	tool::Domain_status status_of(std::string const &name)
	{
		tool::Status const all = status();
		tool::Domain_status const *const found = all.find(name);
		EXPECT_TRUE(found) << name;
		return found ? *found : tool::Domain_status{};
	}

	/* Whether it was done. */
	bool ask(domain::Admin what, std::string const &about)
	{
		if (!_control) status();
		return _control && _control->ask(what, about).ok();
	}

	/* The exit code, and what the service has said; nothing: there was no such call, or it broke.
	 */
	std::optional<int> call(std::string const &domain, std::string const &service,
		std::string const &input, std::string &output)
	{
		if (!_control) status();
		if (!_control || !_control->call(domain, service).ok()) return {};
		auto called = _control->wait();
		if (!called.ok()) _control.reset();
		if (!called.ok() || called.value().state != tool::Control::Call::State::CONNECTED)
			return {};
		auto transport = std::make_unique<sdk::Shm_transport>();
		if (transport->adopt(std::move(called.value().end)) != 0) return {};
		std::optional<int> code;
		{
			qrexec::Data_channel channel(std::move(transport), qrexec::Side::CALLER);
			code = _finish(channel, input, output);
		}
		_control->ended(called.value().params);
		return code;
	}

	template <typename CONDITION>
	void until(std::string const &what, CONDITION condition)
	{
		uint64_t const until_us = now_us() + HANG_US;
		while (!testing::Test::HasFatalFailure() && !condition()) {
			if (now_us() > until_us) FAIL() << "in vain: " << what;
			usleep(1000);
		}
	}

	/* Domains whose broker was killed may be our children when they end. */
	void take_in_orphans()
	{
		for (pid_t process; (process = waitpid(-1, nullptr, WNOHANG)) > 0;)
			EXPECT_NE(process, _keeper) << "the keeper has ended";
	}

	/* Ends it as systemd does; nothing is left. */
	void stop()
	{
		_control.reset();
		ASSERT_EQ(kill(_keeper, SIGTERM), 0);
		int ended = 0;
		ASSERT_EQ(waitpid(_keeper, &ended, 0), _keeper);
		_keeper = -1;
		EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0) << ended;
		take_in_orphans();
		EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process was left behind";
		EXPECT_FALSE(text_of_file("/proc/self/mountinfo").contains(_place.filename().string()));
		for (auto const &entry : std::filesystem::recursive_directory_iterator(_place / "run"))
			EXPECT_TRUE(entry.is_directory()) << entry.path();
	}
};

/* What domains of programs see of this machine: enough for its shell. */
inline std::string const PROGRAMS_SEE =
	"files = [\"/usr\", \"/lib\", \"/lib64\", \"/bin\", { source = \"" BULKHEAD_CLIENT_VM_FOLDER
	"\", target = \"/client\" }]\n";

} // namespace bulkhead::broker::test
