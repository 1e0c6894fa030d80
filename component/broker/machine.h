#pragma once

// The Linux side of a broker: gates, processes, logs and operators' connections in one epoll, and
// what domain/broker decides done with system calls. One thread; no queue of its own.

#include "component/broker/log_writer/logs.h"
#include "component/broker/notify.h"
#include "component/broker/plan/options.h"
#include "component/broker/plan/plan_read.h"
#include "component/broker/run_directory.h"
#include "domain/broker/broker.h"
#include "domain/broker/shown/status.h"
#include "platform/linux/clock.h"
#include "platform/linux/vchan/channel.h"

#include <optional>
#include <unordered_map>

namespace bulkhead::broker {

class Machine final : private domain::Host, private domain::Status_facts
{
private:
	using Party = domain::Party;

	/* What an event is about, in the upper half of its data; the party is in the lower. */
	enum Subject : uint32_t { GATE, PROCESS, LOGS, CONTROL, SIGNALS };

	/* Of a domain, or only the gate of an operator. */
	struct Running
	{
		linux_host::Gate gate{};
		bool deaf = false; // has no room: isn't heard until it has
		linux_host::Sandboxed process{};
		linux_host::Owned_fd log{};
	};

	Options _options;
	Descriptors _kept; // by the broker before, until they are adopted
	Notify _notify;
	linux_host::Monotonic_clock _clock{};
	linux_host::Owned_fd _epoll{};
	linux_host::Owned_fd _signals{};
	Components _components{};
	Logs _logs{};
	std::vector<linux_host::Ability> _lacking{};
	std::string _cgroup{};
	Run_directory _directory{};
	std::unique_ptr<Ruling> _ruling{};
	domain::Broker _broker;
	std::unordered_map<Party, Running> _running{};
	Party _next_operator = domain::OPERATORS;
	std::optional<linux_host::Channel_pair> _channel{};
	uint64_t _sign_due_us = 0;
	bool _ready = false;

	// domain::Host
	bool start(Party, domain::Domain_plan const &, domain::End &) override;
	void close(Party) override;
	void kill(Party) override;
	domain::Sent send(Party, Bytes packet, domain::With) override;
	bool room(Party) override;
	bool make_channel(uint32_t port, uint32_t ring_bytes) override;
	void drop_channel() override { _channel.reset(); }
	void down(Party, bool) override;
	void log(Level, std::string_view line) override;
	domain::Answer reload() override;

	// domain::Status_facts
	Process process_of(Party) const override;

	std::string _cgroup_of(std::string const &name) const
	{
		return _cgroup.empty() ? "" : _cgroup + "/" + name;
	}
	std::string _log_of(std::string const &name) const { return logs + "/" + name + ".log"; }
	void _watch(int fd, uint32_t events, Subject, Party = 0, bool change = false);
	void _unwatch(int fd);
	bool _permitted(domain::System_plan const &, std::string &faults);
	void _find_cgroup(std::string const &system, std::string const &run_directory);
	int _prepare();
	void _leave();
	void _enter(Party, Running);
	void _write_logs(uint64_t now_us);
	void _follow_log(Party, Running const &);
	void _adopt(domain::Domain_plan const &);
	void _drop();
	void _forget(std::string const &domain);

	void _hear(Party);
	void _look_at_process(Party);
	void _meet_operator();
	void _take_signal();
	void _handle(uint64_t subject);
	void _tell_state(uint64_t now_us);

public:
	Machine(Options, Descriptors kept);

	/* Until all has ended, or something isn't right for a start: Exit_code, with words said. */
	int run();
};

} // namespace bulkhead::broker
