// Ten thousand open channels in one process, of which few have something to say.

#include "platform/linux/vchan/loop_connection.h"
#include "sdk/libvchan/bench/measure.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <random>
#include <sys/resource.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

using linux_host::Channel_name;
using linux_host::Connection;
using linux_host::Loop;
using linux_host::Loop_connection;

constexpr int SERVER = 1, CLIENT = 2; // domains
constexpr unsigned MANY = 10'000;
constexpr unsigned FEW = 10;
constexpr unsigned FDS_EACH = 2; // of one end in a loop
constexpr unsigned BATCH = 50; // that look for each other at a time
constexpr unsigned FDS_ELSE = 400; // for these, and whatever else is open

/* What the other process is to do: connect, or speak where. */
enum What : uint32_t { CONNECT, SAME, OTHERS };

/* Kilobytes of a line of /proc/meminfo or /proc/self/status. */
double kilobytes(char const *file, std::string const &key)
{
	std::ifstream lines(file);
	std::string word;
	while (lines >> word)
		if (word == key + ":") {
			double value = 0;
			lines >> value;
			return value;
		}
	return 0;
}

Channel_name name_of_port(uint64_t port) { return {SERVER, CLIENT, static_cast<int>(port)}; }

void join(Connection &connection)
{
	while (!connection.joined())
		if (!connection.wait().ok()) give_up(connection.message());
}

struct Memory
{
	double own = kilobytes("/proc/self/status", "RssAnon");
	double shared = kilobytes("/proc/meminfo", "Shmem");
	double tables = kilobytes("/proc/self/status", "VmPTE");
	double slab = kilobytes("/proc/meminfo", "Slab");
};

/* A channel's end in a loop, with a job that reads bytes. */
class Member
{
private:
	Connection _connection{};
	Loop_connection _watched;
	Job_with_arena<1024> _job;
	std::optional<Root> _reader{};

	static Root _read(Job &job, vchan::Endpoint &end, unsigned &heard)
	{
		uint8_t byte = 0;
		while (true) {
			auto const got = co_await end.read(job, Mutable_bytes(&byte, 1));
			if (!got.ok() || got.value() == 0) break;
			++heard;
		}
	}

public:
	explicit Member(Loop &loop) : _watched(loop, _connection), _job(loop.executor()) {}

	void listen(uint64_t port, uint32_t ring_bytes, std::string const &directory)
	{
		auto const begun =
			_connection.listen(name_of_port(port), {ring_bytes, ring_bytes}, directory);
		if (!begun.ok()) give_up(_connection.message());
	}

	void start(unsigned &heard)
	{
		join(_connection);
		if (!_watched.start().ok()) give_up("the loop");
		_reader.emplace(_read(_job, *_connection.endpoint(), heard));
		if (!_reader->start(_job).ok()) give_up("a job");
	}
};

/* The other ends, which say a byte where they are told. */
class Speakers
{
private:
	std::string const _directory;
	std::vector<std::unique_ptr<Connection>> _all{};
	std::minstd_rand _random{1};

public:
	explicit Speakers(std::string directory) : _directory(std::move(directory)) {}

	void connect(uint64_t first_port, uint64_t count)
	{
		size_t const before = _all.size();
		for (uint64_t i = 0; i < count; ++i) {
			_all.push_back(std::make_unique<Connection>());
			if (!_all.back()->connect(name_of_port(first_port + i), _directory).ok())
				give_up(_all.back()->message());
		}
		for (size_t i = before; i < _all.size(); ++i) {
			join(*_all[i]);
			_all[i]->hand_over();
		}
	}

	void speak(What what, size_t count)
	{
		uint8_t const byte = 1;
		// All over the place, and none twice.
		size_t const stride = _all.size() / count;
		size_t const offset = what == OTHERS ? _random() % stride : 0;
		for (size_t i = 0; i < count; ++i) {
			size_t const n = i * stride + offset;
			if (!_all[n]->endpoint()->try_write(Bytes(&byte, 1)).ok()) give_up("a byte");
		}
	}

	void obey(Order const &order)
	{
		if (order.what == CONNECT) return connect(order.size, order.count);
		speak(static_cast<What>(order.what), order.count);
	}
};

class Crowd
{
private:
	Peer _peer;
	Memory _before{};
	unsigned _heard = 0;
	Loop _loop{};
	std::vector<std::unique_ptr<Member>> _members{};

	void _settle()
	{
		while (_loop.executor().run_ready()) {}
	}

	void _join(unsigned count, uint32_t ring_bytes, std::string const &directory)
	{
		size_t const before = _members.size();
		for (size_t i = before; i < before + count; ++i) {
			_members.push_back(std::make_unique<Member>(_loop));
			_members.back()->listen(i, ring_bytes, directory);
		}
		_peer.begin({Placement::ONE_CPU, CONNECT, count, before});
		for (size_t i = before; i < before + count; ++i) _members[i]->start(_heard);
		_peer.end();
	}

public:
	Crowd(unsigned size, uint32_t ring_bytes, std::string const &directory)
		: _peer([&] {
			  auto const speakers = std::make_shared<Speakers>(directory);
			  return [speakers](Order const &order) {
				  speakers->obey(order);
				  return 0.0;
			  };
		  })
	{
		for (unsigned left = size; left; left -= std::min(left, BATCH))
			_join(std::min(left, BATCH), ring_bytes, directory);
		_settle();
	}

	/* Seconds for each that has something to say, from the look at the loop to the next sleep. */
	double measure(What what, unsigned count)
	{
		// On this CPU, so that what is said is all there before we look.
		_peer.begin({Placement::ONE_CPU, what, count, 0});
		_peer.end();
		_heard = 0;
		double const begin = now_s();
		while (_heard < count) {
			_loop.poll(NEVER_US);
			_settle();
		}
		return (now_s() - begin) / count;
	}

	void tell_memory(std::string const &name) const
	{
		Memory const now;
		double const count = static_cast<double>(_members.size());
		auto const tell = [&](char const *what, double kib) {
			char text[32];
			snprintf(text, sizeof text, "%.2f KiB", kib / count);
			figure(name + what, text);
		};
		tell("this process, with a job", now.own - _before.own);
		tell("its page tables", now.tables - _before.tables);
		tell("shared, both ends", now.shared - _before.shared);
		tell("kernel (slab), both ends", now.slab - _before.slab);
	}
};

/* How many channels the limit of open files allows. */
unsigned possible(unsigned wanted)
{
	rlim_t const files = FDS_EACH * wanted + FDS_ELSE;
	rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) give_up("getrlimit");
	if (limit.rlim_cur >= files) return wanted;
	// Who may not raise the hard limit gets as far as that.
	rlimit const higher{files, std::max(files, limit.rlim_max)};
	rlimit const highest{limit.rlim_max, limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &higher) == 0) return wanted;
	if (setrlimit(RLIMIT_NOFILE, &highest) != 0) give_up("setrlimit");
	if (limit.rlim_max < 2 * FDS_ELSE) return FEW;
	return std::min(wanted, static_cast<unsigned>(limit.rlim_max - FDS_ELSE) / FDS_EACH);
}

/* Nothing of it stays in our heap. */
void in_a_process_of_its_own(std::function<void()> const &run)
{
	Peer([&run] {
		return [&run](Order const &) {
			run();
			fflush(stdout);
			return 0.0;
		};
	}).obey({});
}

void tell_wake_ups(Crowd &few, Crowd &many, unsigned size, Options const &options)
{
	unsigned const repeats = 200 / options.less();
	auto const once = [&](Crowd &crowd, What what, unsigned count) {
		std::vector<double> each;
		for (unsigned i = 0; i < repeats; ++i) each.push_back(crowd.measure(what, count));
		return median(each);
	};
	std::string const of_many = " of " + std::to_string(size) + " ready, ";
	for (unsigned const ready : {1U, 10U, 100U}) {
		std::vector<double> floor, same, others;
		for (unsigned round = 0; round < options.rounds(); ++round) {
			floor.push_back(once(few, SAME, std::min(ready, FEW)));
			same.push_back(once(many, SAME, ready));
			others.push_back(once(many, OTHERS, ready));
		}
		figure(std::to_string(std::min(ready, FEW)) + " of " + std::to_string(FEW) +
				" ready, each (the floor)",
			in_us(median(floor)));
		double const ratio = median_ratio(same, floor);
		figure(std::to_string(ready) + of_many + "each, the same again", in_us(median(same)), ratio,
			at_most(ratio, 1.5));
		figure(std::to_string(ready) + of_many + "each, others each time", in_us(median(others)),
			median_ratio(others, floor));
	}
}

} // namespace

void crowds(Options const &options, std::string const &directory)
{
	unsigned const wanted = options.quick ? MANY / 10 : MANY;
	unsigned const size = possible(wanted);
	title(std::to_string(size) + " open channels in one process: memory of one that is idle");
	if (size < wanted) remark("the limit of open files (ulimit -n) allows no more");
	// A kernel that has never had so many objects first makes room for them.
	in_a_process_of_its_own([&] { Crowd(size, 64 << 10, directory); });
	in_a_process_of_its_own(
		[&] { Crowd(size, 64 << 10, directory).tell_memory("rings of 64 KiB: "); });
	Crowd many(size, 4096, directory);
	many.tell_memory("rings of 4 KiB: ");
	Crowd few(FEW, 4096, directory);
	title("waiting in one loop for all of them, one CPU: a wake-up and a read");
	tell_wake_ups(few, many, size, options);
}

} // namespace bulkhead::bench
