#include "component/broker/machine.h"

#include "component/broker/prepared.h"
#include "platform/linux/signals.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <random>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace bulkhead::broker {
namespace {

using domain::Domain_plan;
using domain::End;
using domain::Sent;
using domain::With;
using linux_host::Gate;
using linux_host::Gate_takes;
using linux_host::Owned_fd;

constexpr size_t EVENTS_MAX = 64; // of a round
constexpr int ORPHAN_PATIENCE_MS = 20;

// What is kept of a domain, by its name and this.
constexpr char const *KINDS[] = {".gate", ".process", ".log"};

bool ready(int fd, short events, int patience_ms)
{
	pollfd looked_at{fd, events, 0};
	return poll(&looked_at, 1, patience_ms) == 1;
}

/* As wait(2) has it, of a process whose parent has died; -1: the kernel doesn't tell (before 6.15).
 */
int status_of_orphan(int process)
{
	// It is told once the keeper has reaped it, which takes no time, and said by POLLHUP.
	(void)ready(process, 0, ORPHAN_PATIENCE_MS);
	struct
	{
		uint64_t mask = 1U << 3; // PIDFD_INFO_EXIT
		uint64_t cgroup = 0;
		uint32_t ids[11]{};
		int32_t exit_code = 0;
	} info;
	static_assert(sizeof(info) == 64);
	bool const told = ioctl(process, _IOWR(0xff, 11, decltype(info)), &info) == 0;
	return told && info.mask & 1U << 3 ? info.exit_code : -1;
}

End end_of(int status)
{
	if (status == -1) return {.text = "ended, nobody knows how", .clean = false};
	if (WIFSIGNALED(status))
		return {.text = "killed by signal " + std::to_string(WTERMSIG(status)) + " (" +
				strsignal(WTERMSIG(status)) + ")"};
	int const code = WEXITSTATUS(status);
	return {.text = "exit code " + std::to_string(code), .clean = code == 0};
}

} // namespace

Machine::Machine(Options options, Descriptors kept)
	: _options(std::move(options)),
	  _kept(std::move(kept)),
	  _notify(std::move(_kept[KEEPER])),
	  _epoll(epoll_create1(EPOLL_CLOEXEC)),
	  _signals(linux_host::take_signals({SIGTERM, SIGINT, SIGHUP, KEEPER_ENDED})),
	  _broker(*this, std::random_device{}(), _clock.now_us())
{
	_watch(_signals.value(), EPOLLIN, SIGNALS);
}

void Machine::_watch(int fd, uint32_t events, Subject subject, Party party, bool change)
{
	epoll_event event{};
	event.events = events;
	event.data.u64 = uint64_t{subject} << 32 | party;
	epoll_ctl(_epoll.value(), change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

void Machine::_unwatch(int fd) { epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, fd, nullptr); }

/* Has all that a domain's process brings along watched. */
void Machine::_enter(Party party, Running running)
{
	Running const &entered = _running[party] = std::move(running);
	_watch(entered.gate.fd(), EPOLLIN, GATE, party);
	_watch(entered.process.process.value(), EPOLLIN, PROCESS, party);
	_follow_log(party, entered);
}

void Machine::_follow_log(Party party, Running const &running)
{
	if (_logs.fd() < 0 || !running.log) return;
	Domain_plan const &plan = _broker.find(party)->plan;
	_logs.follow(running.log.value(), plan.log_bytes, _log_of(plan.name));
}

/* From now on, or again. */
void Machine::_write_logs(uint64_t now_us)
{
	_logs.start(now_us);
	if (_logs.fd() < 0) return log(Level::ERROR, "the writer of logs can't be started");
	_watch(_logs.fd(), 0, LOGS);
	for (auto const &[party, running] : _running) _follow_log(party, running);
}

bool Machine::start(Party party, Domain_plan const &plan, End &end)
{
	auto gates = Gate::make_pair();
	int ends[2];
	if (!gates.ok() || pipe2(ends, O_CLOEXEC) != 0) {
		end.text = std::string("no gate: ") + strerror(errno);
		return false;
	}
	Owned_fd reads{ends[0]}, writes{ends[1]};
	Prepared prepared;
	if (!broker::prepare(prepared, _components, std::string(_broker.name()), plan,
			gates.value().second.value(), end.text))
		return false;
	prepared.sandbox.log = writes.value();
	prepared.sandbox.without = _lacking;
	prepared.sandbox.cgroup = _cgroup_of(plan.name);
	prepared.sandbox.born = [&](int process) {
		_notify.store(plan.name + ".process", process);
		_directory.note(plan.name, process);
	};
	_notify.store(plan.name + ".gate", gates.value().first.value());
	_notify.store(plan.name + ".log", reads.value());
	auto started = linux_host::start(prepared.sandbox, end.text);
	if (!started.ok()) {
		_forget(plan.name);
		end.lasting = started.error() == Error::INVALID || started.error() == Error::NOT_SUPPORTED;
		return false;
	}
	_enter(party,
		{.gate = Gate(std::move(gates.value().first), Gate_takes::NOTHING),
			.process = std::move(started.value()),
			.log = std::move(reads)});
	return true;
}

/* A domain that an earlier broker has started. */
void Machine::_adopt(Domain_plan const &plan)
{
	Party const party = _broker.id_of(plan.name);
	auto const gate = _kept.find(plan.name + ".gate");
	auto const process = _kept.find(plan.name + ".process");
	if (gate == _kept.end() || process == _kept.end()) {
		if (_kept.erase(plan.name + ".down")) _broker.rest(party);
		return;
	}
	pid_t const number = pid_of(process->second.value());
	_enter(party,
		{.gate = Gate(std::move(gate->second), Gate_takes::NOTHING),
			.process = {.pid = number, .process = std::move(process->second)},
			.log = std::move(_kept[plan.name + ".log"])});
	_broker.adopt(party);
}

/* Ends what nobody has adopted. */
void Machine::_drop()
{
	for (auto &[name, descriptor] : _kept) {
		if (!descriptor) continue;
		_notify.forget(name);
		if (!name.ends_with(".process")) continue;
		std::string const domain = name.substr(0, name.rfind('.'));
		log(Level::WARNING,
			domain +
				" was left by an earlier broker, without its gate or a place in "
				"the manifest: ended");
		pid_t const number = pid_of(descriptor.value());
		linux_host::end({number, std::move(descriptor)}, _cgroup_of(domain));
		_directory.forget(domain);
	}
	_kept.clear();
}

/* One whose process is gone. */
void Machine::_forget(std::string const &domain)
{
	for (char const *kind : KINDS) _notify.forget(domain + kind);
	_directory.forget(domain);
}

void Machine::close(Party party)
{
	auto const found = _running.find(party);
	if (found == _running.end() || found->second.gate.fd() < 0) return;
	_unwatch(found->second.gate.fd());
	found->second.gate.close();
	if (domain::operators(party))
		_running.erase(found);
	else
		_notify.forget(_broker.find(party)->name + ".gate");
}

void Machine::kill(Party party)
{
	if (auto const found = _running.find(party); found != _running.end())
		syscall(SYS_pidfd_send_signal, found->second.process.process.value(), SIGKILL, nullptr, 0);
}

Sent Machine::send(Party to, Bytes packet, With with)
{
	auto const found = _running.find(to);
	if (found == _running.end() || found->second.gate.fd() < 0) return Sent::FULL;
	std::array<int, domain::DESCRIPTORS> given{};
	size_t count = 0;
	Owned_fd status;
	if (with == With::STATUS) {
		std::string text;
		domain::write_status(text, _broker, *this);
		status = sealed_text(text);
		if (!status) return Sent::FAILED;
		given[count++] = status.value();
	} else if (with != With::NOTHING) {
		auto const &end = with == With::CLIENT_END ? _channel->client : _channel->server;
		given = {end.memory.value(), end.bell.out(), end.bell.in()};
		count = given.size();
	}
	Bytes const parts[] = {packet};
	auto const sent = found->second.gate.send(parts, std::span(given).first(count));
	// That the other side has closed is told as its end.
	if (sent.ok() || sent.error() == Error::BROKEN_PIPE) return Sent::OK;
	return sent.error() == Error::WOULD_BLOCK ? Sent::FULL : Sent::FAILED;
}

bool Machine::make_channel(uint32_t port, uint32_t ring_bytes)
{
	auto made = linux_host::make_channel({ring_bytes, ring_bytes}, port);
	if (!made.ok()) return false;
	_channel.emplace(std::move(made.value()));
	return true;
}

/* The descriptor doesn't matter, only that there is one of this name. */
void Machine::down(Party party, bool is)
{
	std::string const name = _broker.find(party)->plan.name + ".down";
	if (is)
		_notify.store(name, _signals.value());
	else
		_notify.forget(name);
}

void Machine::log(Level level, std::string_view line)
{
	if (level == Level::DEBUG && !_options.verbose) return;
	bool const bad = level == Level::ERROR || level == Level::WARNING;
	say((bad ? std::string(name_of(level)) + ": " : std::string()).append(line));
}

Machine::Process Machine::process_of(Party party) const
{
	auto const found = _running.find(party);
	Domain_plan const &plan = _broker.find(party)->plan;
	Process process{.pid = 0, .log = _log_of(plan.name), .memory_bytes = 0};
	if (found == _running.end()) return process;
	Running const &running = found->second;
	process.pid = running.process.pid;
	std::ifstream group(_cgroup_of(plan.name) + "/memory.current");
	if (!_cgroup.empty() && group >> process.memory_bytes) return process;
	uint64_t pages = 0;
	std::ifstream("/proc/" + std::to_string(process.pid) + "/statm") >> pages >> pages;
	process.memory_bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
	return process;
}

bool Machine::room(Party party)
{
	auto const found = _running.find(party);
	return found != _running.end() && ready(found->second.gate.fd(), POLLOUT, 0);
}

/* One packet of a party's, so that nobody is served twice before somebody else is once. */
void Machine::_hear(Party party)
{
	auto const found = _running.find(party);
	if (found == _running.end() || found->second.gate.fd() < 0) return;
	Running &running = found->second;
	bool const deaf = !room(party); // else the answer might have no place
	if (std::exchange(running.deaf, deaf) != deaf)
		_watch(running.gate.fd(), deaf ? EPOLLOUT : EPOLLIN, GATE, party, true);
	if (deaf) return;
	std::array<uint8_t, domain::PACKET_MAX> packet;
	auto const received = running.gate.receive(packet);
	if (received.ok() && received.value().bytes > 0)
		return _broker.received(party, Bytes(packet).first(received.value().bytes));
	if (!received.ok() && received.error() == Error::WOULD_BLOCK) return;
	if (!received.ok() && received.error() != Error::IO)
		return _broker.broken(party, "it has sent what is no packet");
	close(party);
	_broker.closed(party);
}

void Machine::_look_at_process(Party party)
{
	auto const found = _running.find(party);
	if (found == _running.end()) return;
	int const process = found->second.process.process.value();
	if (!ready(process, POLLIN, 0)) return;
	siginfo_t how{};
	bool const ours = waitid(P_PIDFD, static_cast<id_t>(process), &how, WEXITED | WNOHANG) == 0;
	if (ours && !how.si_pid) return;
	int const status = how.si_code == CLD_EXITED ? how.si_status << 8 : how.si_status;
	End const end = end_of(ours ? status : status_of_orphan(process));
	close(party);
	_unwatch(process);
	std::string const name = _broker.find(party)->name;
	linux_host::end(found->second.process, _cgroup_of(name));
	_running.erase(found);
	_forget(name);
	_broker.ended(party, end);
}

void Machine::_meet_operator()
{
	Gate gate = _directory.accept();
	if (gate.fd() < 0) return;
	do _next_operator = domain::OPERATORS | (_next_operator + 1);
	while (_running.contains(_next_operator));
	Party const party = _next_operator;
	_watch(gate.fd(), EPOLLIN, GATE, party);
	_running[party].gate = std::move(gate);
	if (!_broker.connected(party)) close(party);
}

void Machine::_take_signal()
{
	int const number = linux_host::next_signal(_signals.value());
	if (!number) return;
	if (number == KEEPER_ENDED) log(Level::ERROR, "the keeper has ended; all domains are ended");
	if (number != SIGHUP) return _broker.shut_down();
	domain::Answer const answer = reload();
	log(answer.error ? Level::ERROR : Level::INFO, answer.text);
}

void Machine::_handle(uint64_t subject)
{
	Party const party = static_cast<Party>(subject);
	switch (Subject{static_cast<uint32_t>(subject >> 32)}) {
	case GATE: return _hear(party);
	case PROCESS: return _look_at_process(party);
	case LOGS: return _logs.end();
	case CONTROL: return _meet_operator();
	case SIGNALS: return _take_signal();
	}
}

domain::Answer Machine::reload()
{
	Plan_read read = read_plan(_options.manifest, _components);
	if (read.faults.empty() && read.plan.name != _broker.name())
		read.faults =
			_options.manifest + ": the system's name has changed; stop it, and start it anew\n";
	if (!read.faults.empty() || !_permitted(read.plan, read.faults))
		return {EINVAL, read.faults + "the manifest and policy of before stay"};
	policy = read.plan.policy_directory;
	_broker.apply(std::move(read.plan), read.ruling->evaluator());
	_ruling = std::move(read.ruling);
	return {0, "manifest and policy are read again"};
}

/* Readiness, state and signs of life for who watches over us. */
void Machine::_tell_state(uint64_t now_us)
{
	auto const awaited = [](domain::Domain const *each) {
		return each->plan.start == domain::Start::AT_ONCE && each->failures == 0 &&
			(each->state == domain::State::WAITING || each->state == domain::State::STARTING);
	};
	bool const now_ready = !_ready && std::ranges::none_of(_broker.domains(), awaited);
	if (now_us < _sign_due_us && !now_ready) return;
	_sign_due_us = now_us + _options.sign_of_life_us;
	auto const running =
		std::ranges::count(_broker.domains(), domain::State::RUNNING, &domain::Domain::state);
	_notify.tell("STATUS=" + std::to_string(running) + " of " +
		std::to_string(_broker.domains().size()) + " domains run\nWATCHDOG=1");
	if (!now_ready) return;
	_ready = true;
	_notify.tell("READY=1");
	if (_options.ready_fd < 0) return;
	(void)!write(_options.ready_fd, "READY=1\n", 8);
	::close(_options.ready_fd);
}

int Machine::run()
{
	if (int const code = _prepare()) return code;
	std::array<epoll_event, EVENTS_MAX> events;
	int count = 0;
	while (true) {
		uint64_t const now_us = _clock.now_us();
		_broker.tick(now_us);
		for (epoll_event const &event : std::span(events).first(static_cast<size_t>(count)))
			_handle(event.data.u64);
		if (_broker.finished()) break;
		if (now_us >= _logs.due_us()) _write_logs(now_us);
		_tell_state(now_us);
		uint64_t const until_us =
			std::min({_broker.next_deadline_us(), _sign_due_us, _logs.due_us()});
		uint64_t const after_us = _clock.now_us();
		uint64_t const left_ms = until_us > after_us ? (until_us - after_us) / 1000 + 1 : 0;
		count = epoll_wait(_epoll.value(), events.data(), EVENTS_MAX, static_cast<int>(left_ms));
		if (count < 0) count = 0;
	}
	_logs.end();
	_leave();
	return 0;
}

} // namespace bulkhead::broker
