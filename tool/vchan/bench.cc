#include "tool/vchan/bench.h"

#include "tool/report.h"
#include "tool/vchan/wire.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::tool {

namespace {

namespace fs = std::filesystem;
using linux_host::Owned_fd;

constexpr int SERVER = 1, CLIENT = 2;
constexpr size_t CHUNK_MAX = 65536;
constexpr unsigned CONNECTS = 300;

double now_s()
{
	timespec now{};
	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/* Of this process and of those that it has waited for. */
double process_time_s()
{
	double sum = 0;
	for (int const who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
		rusage usage{};
		getrusage(who, &usage);
		for (timeval const &time : {usage.ru_utime, usage.ru_stime})
			sum += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
	}
	return sum;
}

bool pin(int cpu)
{
	if (cpu < 0) return true;
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(static_cast<size_t>(cpu), &set);
	return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* Both ends of something, of which each process makes its own. */
struct Medium
{
	using End = std::function<std::unique_ptr<Wire>()>;
	End here;
	End there;
};

using Side = std::function<bool(Wire &)>;

struct Measure
{
	std::string name;
	std::string unit;
	double vchan;
	std::string floor_name;
	double floor;
};

class Bench
{
private:
	Bench_options const &_options;
	Interrupt _interrupt{};
	std::string _directory{};
	std::vector<Measure> _measures{};
	Trouble _trouble{Exit::OK, ""};

	bool _fail(std::string what)
	{
		if (_trouble.what.empty()) _trouble = {Exit::FAILURE, std::move(what)};
		return false;
	}

	Channel_options _side(bool server, int port) const
	{
		Channel_options options = _options.channel;
		options.server = server;
		options.own_domain = server ? SERVER : CLIENT;
		options.peer = {server ? CLIENT : SERVER, port};
		options.directory = _directory;
		options.timeout_s = Wire::PATIENCE_MS / 1e3;
		return options;
	}

	bool _fail(bool server, std::optional<Trouble> const &trouble)
	{
		// Each process has one of its own; that of the client has nobody to tell.
		if (trouble && server && _trouble.what.empty()) _trouble = *trouble;
		return !trouble;
	}

	bool _begin(bool server, int port, Channel &channel)
	{
		return _fail(server, open_channel(_side(server, port), channel));
	}

	bool _meet(bool server, Channel const &channel)
	{
		return _fail(server, await_peer(_side(server, 0), channel.get(), _interrupt));
	}

	std::unique_ptr<Wire> _open(bool server, int port = 0)
	{
		Channel channel;
		if (!_begin(server, port, channel) || !_meet(server, channel)) return nullptr;
		return std::make_unique<Channel_wire>(std::move(channel));
	}

	Medium _channel()
	{
		return {[this] { return _open(true); }, [this] { return _open(false); }};
	}

	/* From four descriptors that both processes have: read and write here, read and write there. */
	static Medium _descriptors(std::array<int, 4> const &fds)
	{
		// Each process closes what is the other's, or the end of a pipe would never be seen.
		auto const end = [fds](size_t mine) {
			size_t const other = mine ^ 2;
			close(fds[other]);
			if (fds[other + 1] != fds[other]) close(fds[other + 1]);
			Owned_fd in(fds[mine]);
			Owned_fd out(fds[mine + 1] == fds[mine] ? dup(fds[mine]) : fds[mine + 1]);
			return std::make_unique<Descriptor_wire>(std::move(in), std::move(out));
		};
		return {[end] { return end(0); }, [end] { return end(2); }};
	}

	static Medium _pipes()
	{
		int to[2]{}, from[2]{};
		if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) return {};
		return _descriptors({from[0], to[1], to[0], from[1]});
	}

	static Medium _sockets()
	{
		int ends[2]{};
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return {};
		return _descriptors({ends[0], ends[0], ends[1], ends[1]});
	}

	static Medium _eventfds()
	{
		int const to = eventfd(0, EFD_CLOEXEC), from = eventfd(0, EFD_CLOEXEC);
		if (to < 0 || from < 0) return {};
		return _descriptors({from, to, dup(to), dup(from)});
	}

	/* Runs both sides, each on its CPU; false if one has failed. */
	bool _run(Medium const &medium, Side const &here, Side const &there)
	{
		if (!medium.here) return _fail(fmt::format("too few descriptors: {}", strerror(errno)));
		fflush(nullptr);
		pid_t const parent = getpid(), child = fork();
		if (child < 0) return _fail(fmt::format("no second process: {}", strerror(errno)));
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent || !pin(_options.cpus[1])) _exit(1);
			std::unique_ptr<Wire> wire = medium.there();
			bool const done = wire && there(*wire);
			// Closed in order: the other side takes the end of a process for its death.
			wire.reset();
			_exit(done ? 0 : 1);
		}
		bool done = false;
		{
			std::unique_ptr<Wire> const wire = medium.here();
			done = wire && here(*wire);
			if (!done) kill(child, SIGKILL);
		}
		int status = 0;
		while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
		if (done && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
		return _fail("a measurement has failed: one side has ended before its time");
	}

	/* Microseconds there and back, the best of a few series; 0 if that failed. */
	double _round_trip_us(Medium const &medium, size_t size)
	{
		constexpr unsigned SERIES = 5;
		double best_us = 0;
		bool const done = _run(
			medium,
			[&](Wire &wire) {
				std::vector<uint8_t> buffer(size, 1);
				for (unsigned series = 0; series < SERIES; series++) {
					double const begun = now_s(), end = begun + _options.seconds / SERIES;
					unsigned count = 0;
					double now = begun;
					for (; now < end; count++, now = now_s())
						if (!wire.write(buffer) || !wire.read_all(buffer)) return false;
					double const each_us = (now - begun) * 1e6 / count;
					if (series == 0 || each_us < best_us) best_us = each_us;
				}
				// Of eventfds there is no end: what is not a 1 stands for it.
				buffer[0] = 2;
				return wire.write(buffer);
			},
			[&](Wire &wire) {
				std::vector<uint8_t> buffer(size);
				while (wire.read_all(buffer)) {
					if (buffer[0] != 1) return true;
					if (!wire.write(buffer)) return false;
				}
				return false;
			});
		return done ? best_us : 0;
	}

	/* MiB/s in one direction; 0 if that failed. */
	double _stream_mib_s(Medium const &medium, size_t chunk)
	{
		double result = 0;
		bool const done = _run(
			medium,
			[&](Wire &wire) {
				std::vector<uint8_t> buffer(chunk, 1);
				double const begun = now_s(), end = begun + _options.seconds;
				double bytes = 0;
				while (now_s() < end) {
					if (!wire.write(buffer)) return false;
					bytes += static_cast<double>(chunk);
				}
				wire.finish();
				if (!wire.read_all({buffer.data(), 1})) return false;
				result = bytes / 1048576 / (now_s() - begun);
				return true;
			},
			[&](Wire &wire) {
				std::vector<uint8_t> buffer(chunk);
				ssize_t size = 0;
				while ((size = wire.read(buffer)) > 0) {}
				return size == 0 && wire.write({buffer.data(), 1});
			});
		return done ? result : 0;
	}

	double _copy_mib_s() const
	{
		std::vector<uint8_t> from(CHUNK_MAX, 1), to(CHUNK_MAX);
		double const begun = now_s(), end = begun + _options.seconds;
		double bytes = 0;
		for (; now_s() < end; bytes += CHUNK_MAX) {
			memcpy(to.data(), from.data(), to.size());
			// What nobody looks at may not be left out.
			asm volatile("" : : "r"(to.data()) : "memory");
		}
		return bytes / 1048576 / (now_s() - begun);
	}

	/* The server of the next channel is there before this one's answer: no client has to wait. */
	bool _serve_visits()
	{
		Channel next;
		if (!_begin(true, 0, next)) return false;
		for (unsigned i = 0; i < CONNECTS; i++) {
			if (!_meet(true, next)) return false;
			Channel_wire wire(std::move(next));
			std::array<uint8_t, 1> byte{};
			if (!wire.read_all(byte)) return false;
			next.reset();
			if (i + 1 < CONNECTS && !_begin(true, (i + 1) % 2, next)) return false;
			if (!wire.write(byte)) return false;
		}
		return true;
	}

	bool _visit()
	{
		for (unsigned i = 0; i < CONNECTS; i++) {
			std::unique_ptr<Wire> const wire = _open(false, i % 2);
			std::array<uint8_t, 1> byte{};
			if (!wire || !wire->write(byte) || !wire->read_all(byte)) return false;
		}
		return true;
	}

	/* Microseconds to connect, send a byte and back, and close: what passes, and of both CPUs. */
	bool _connect_us(double &passed_us, double &process_us)
	{
		// Each side makes one wire after another itself.
		auto const none = [] { return std::make_unique<Descriptor_wire>(Owned_fd(), Owned_fd()); };
		double const begun_s = now_s(), process_begun_s = process_time_s();
		bool const done = _run(
			{none, none}, [this](Wire &) { return _serve_visits(); },
			[this](Wire &) { return _visit(); });
		passed_us = (now_s() - begun_s) * 1e6 / CONNECTS;
		process_us = (process_time_s() - process_begun_s) * 1e6 / CONNECTS;
		return done;
	}

	void _add(std::string name, std::string unit, double vchan, std::string floor_name = "",
		double floor = 0)
	{
		_measures.push_back(
			{std::move(name), std::move(unit), vchan, std::move(floor_name), floor});
	}

	bool _over() const { return _trouble.exit != Exit::OK || _interrupt.number(); }

	void _measure()
	{
		double const event_us = _round_trip_us(_eventfds(), sizeof(uint64_t));
		for (size_t const size : {size_t{1}, size_t{64}})
			if (!_over())
				_add(fmt::format("round trip {} B", size), "us", _round_trip_us(_channel(), size),
					"eventfd", event_us);
		if (!_over())
			_add("round trip 4096 B", "us", _round_trip_us(_channel(), 4096), "socketpair",
				_round_trip_us(_sockets(), 4096));
		for (size_t const chunk : {size_t{4096}, CHUNK_MAX}) {
			if (_over()) return;
			double const speed = _stream_mib_s(_channel(), chunk);
			std::string const name = fmt::format("stream in chunks of {} B", chunk);
			_add(name, "MiB/s", speed, "pipe", _stream_mib_s(_pipes(), chunk));
			if (!_over())
				_add(name, "MiB/s", speed, "socketpair", _stream_mib_s(_sockets(), chunk));
			if (chunk == CHUNK_MAX) _add(name, "MiB/s", speed, "memcpy", _copy_mib_s());
		}
		if (_over()) return;
		double passed_us = 0, process_us = 0;
		if (!_connect_us(passed_us, process_us)) return;
		_add("connect, 1 B there and back, close", "us", passed_us);
		_add("the same, time of both processes", "us", process_us);
	}

	std::string _placement() const
	{
		auto const [here, there] = _options.cpus;
		if (here < 0) return "wherever the kernel put the two sides (see --cpus)";
		return here == there ? fmt::format("both sides on CPU {}", here)
							 : fmt::format("one side on CPU {}, the other on CPU {}", here, there);
	}

	void _print() const
	{
		fmt::print("{}, {}\n", transport_of(_options.channel), _placement());
		for (Measure const &measure : _measures) {
			fmt::print("{:<35} {:>9.1f} {:<5}", measure.name, measure.vchan, measure.unit);
			if (measure.floor > 0)
				fmt::print("  {:>6.2f} x {} ({:.1f})", measure.vchan / measure.floor,
					measure.floor_name, measure.floor);
			fmt::print("\n");
		}
	}

	void _print_json() const
	{
		nlohmann::ordered_json list = nlohmann::ordered_json::array();
		for (Measure const &measure : _measures) {
			nlohmann::ordered_json entry{
				{"name", measure.name}, {"unit", measure.unit}, {"vchan", measure.vchan}};
			if (measure.floor > 0) {
				entry["beside"] = measure.floor_name;
				entry["beside_value"] = measure.floor;
				entry["ratio"] = measure.vchan / measure.floor;
			}
			list.push_back(std::move(entry));
		}
		nlohmann::ordered_json result{{"transport", transport_of(_options.channel)}};
		if (_options.cpus[0] < 0)
			result["cpus"] = nullptr;
		else
			result["cpus"] = _options.cpus;
		result["measures"] = std::move(list);
		fmt::print("{}\n", result.dump(2));
	}

public:
	explicit Bench(Bench_options const &options) : _options(options)
	{
		// As /run, where channels usually meet: in memory.
		char const *above = getenv("TMPDIR");
		if (!above || !*above) above = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
		std::string name = fmt::format("{}/bulkhead-vchan.XXXXXX", above);
		if (mkdtemp(name.data())) _directory = name;
	}
	Bench(Bench const &) = delete;
	~Bench()
	{
		std::error_code ignored;
		if (!_directory.empty()) fs::remove_all(_directory, ignored);
	}

	int run()
	{
		if (_directory.empty())
			return report({Exit::FAILURE,
				fmt::format("no directory to meet in: {}", strerror(errno)), "TMPDIR=DIRECTORY"});
		for (int const cpu : {_options.cpus[1], _options.cpus[0]})
			if (!pin(cpu))
				return report({Exit::USAGE, fmt::format("--cpus: CPU {} can't be used here", cpu)});
		_measure();
		if (_interrupt.number()) return _interrupt.code();
		if (_trouble.exit != Exit::OK) return report(_trouble);
		if (_options.json)
			_print_json();
		else
			_print();
		return static_cast<int>(Exit::OK);
	}
};

} // namespace

int bench(Bench_options const &options) { return Bench(options).run(); }

} // namespace bulkhead::tool
