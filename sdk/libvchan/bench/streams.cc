// Round trips and throughput between two processes that have met.

#include "sdk/libvchan/bench/wires.h"

#include <cstring>
#include <span>
#include <sys/mman.h>

namespace bulkhead::bench {
namespace {

enum What : uint32_t { ANSWER, DRAIN };

constexpr size_t CHUNK_MAX = 64 << 10;
constexpr uint64_t BYTES_LEAST = 8 << 20;

using Duos = std::vector<std::unique_ptr<Duo>>;

/* What was measured of each, round by round. */
struct Series
{
	std::vector<std::vector<double>> of{};

	explicit Series(size_t count) : of(count) {}

	/* Measures all in turns; what the first turn says doesn't count. */
	template <typename MEASURE>
	void take(unsigned rounds, MEASURE const &measure)
	{
		for (unsigned round = 0; round <= rounds; ++round)
			for (size_t i = 0; i < of.size(); ++i) {
				double const value = measure(i);
				if (round) of[i].push_back(value);
			}
	}
};

void add(Duos &duos, std::vector<Way> const &ways)
{
	for (Way const &way : ways) duos.push_back(std::make_unique<Duo>(way));
}

std::string heading(char const *what, Placement placement)
{
	return std::string(what) + ", " + name_of(placement);
}

/* What plain copying gives, in bytes per second. */
class Plain_copy
{
private:
	std::vector<uint8_t> _from = std::vector<uint8_t>(CHUNK_MAX, 1);
	std::vector<uint8_t> _to = std::vector<uint8_t>(CHUNK_MAX);
	std::vector<uint8_t> _ring;

	static void _copy(void *to, void const *from, size_t size)
	{
		memcpy(to, from, size);
		asm volatile("" : : "r"(to) : "memory");
	}

public:
	explicit Plain_copy(size_t ring) : _ring(ring) {}

	/* A chunk from here to there, again and again. */
	double once(uint64_t bytes, size_t chunk)
	{
		double const begin = now_s();
		for (uint64_t done = 0; done < bytes; done += chunk) _copy(_to.data(), _from.data(), chunk);
		return static_cast<double>(bytes) / (now_s() - begin);
	}

	/* Each chunk into memory as large as the ring, and out of there. */
	double through(uint64_t bytes, size_t chunk)
	{
		double const begin = now_s();
		size_t position = 0;
		for (uint64_t done = 0; done < bytes; done += chunk) {
			_copy(&_ring[position], _from.data(), chunk);
			_copy(_to.data(), &_ring[position], chunk);
			position = (position + chunk) % _ring.size();
		}
		return static_cast<double>(bytes) / (now_s() - begin);
	}
};

/* The first is the floor; `limits`: how much more those after it may take. */
void compare_round_trips(Duos const &duos, std::span<double const> limits, Placement placement,
	uint64_t count, Options const &options)
{
	for (size_t const size : {size_t{1}, size_t{64}}) {
		Series series(duos.size());
		series.take(options.rounds(),
			[&](size_t i) { return duos[i]->round_trip(placement, count, size); });
		for (size_t i = 0; i < duos.size(); ++i) {
			std::string const name = bytes_name(size) + ", " + duos[i]->name();
			std::string const value = in_us(median(series.of[i]));
			double const ratio = median_ratio(series.of[i], series.of[0]);
			if (i == 0)
				figure(name + " (the floor)", value);
			else if (i <= limits.size())
				figure(name, value, ratio, at_most(ratio, limits[i - 1]));
			else
				figure(name, value, ratio);
		}
	}
}

/* How many bytes take long enough, whole chunks, if so many pass in a second. */
uint64_t bytes_for(double rate, Options const &options)
{
	auto const bytes = static_cast<uint64_t>(rate * 0.025 / options.less());
	return std::max(bytes / CHUNK_MAX * CHUNK_MAX, BYTES_LEAST);
}

/* One size of ring, one of chunks. */
struct Stream
{
	uint32_t ring;
	size_t chunk;
};

/*
 * The first of them are `ours`. With two CPUs both copies of a byte happen at the same time, and
 * the floor is one of them; one CPU has to do both.
 */
void compare_throughputs(
	Duos const &duos, size_t ours, Stream stream, Placement placement, Options const &options)
{
	Plain_copy plain(stream.ring);
	size_t const once = duos.size(), through = once + 1;
	Series series(duos.size() + 2);
	std::vector<uint64_t> bytes(duos.size() + 2, BYTES_LEAST);
	series.take(options.rounds(), [&](size_t i) {
		double const rate = i == once ? plain.once(bytes[i], stream.chunk)
			: i == through            ? plain.through(bytes[i], stream.chunk)
									  : duos[i]->throughput(placement, bytes[i], stream.chunk);
		bytes[i] = bytes_for(rate, options);
		return rate;
	});
	title(heading("throughput", placement) + ", " + bytes_name(stream.chunk) +
		" at a time, ring of " + bytes_name(stream.ring));
	size_t const floor = placement == Placement::ONE_CPU ? through : once;
	for (size_t const i : {once, through})
		figure(std::string(i == once ? "memcpy" : "memcpy into the ring's size and out") +
				(i == floor ? " (the floor)" : ""),
			in_gib_per_s(median(series.of[i])));
	for (size_t i = 0; i < duos.size(); ++i) {
		double const ratio = median_ratio(series.of[i], series.of[floor]);
		double const rate = median(series.of[i]);
		Aim aim{};
		if (i < ours && stream.chunk == CHUNK_MAX) aim = at_least(ratio, 0.5);
		if (i < ours && stream.chunk != CHUNK_MAX) aim = at_least(rate / (1 << 30), 1, " GiB/s");
		figure(duos[i]->name(), in_gib_per_s(rate), ratio, aim);
	}
	for (size_t i = 0; i < ours; ++i)
		figure(duos[i]->name() + ", to a pipe", "", median_ratio(series.of[i], series.of[ours]));
}

} // namespace

Duo::Duo(Way const &way)
	: _name(way.name),
	  _peer([&way] {
		  std::shared_ptr<Side> const side = way.open(true);
		  return [side](Order const &order) {
			  if (order.what == ANSWER)
				  side->answer(order.count, order.size);
			  else
				  side->drain(order.count, order.size);
			  return 0.0;
		  };
	  }),
	  _side(way.open(false))
{}

double Duo::round_trip(Placement placement, uint64_t count, size_t size)
{
	_peer.begin({placement, ANSWER, count, size});
	double const begin = now_s();
	_side->ask(count, size);
	double const end = now_s();
	_peer.end();
	return (end - begin) / static_cast<double>(count);
}

double Duo::throughput(Placement placement, uint64_t bytes, size_t chunk)
{
	_peer.begin({placement, DRAIN, bytes, chunk});
	double const begin = now_s();
	_side->pour(bytes, chunk);
	_peer.end();
	return static_cast<double>(bytes) / (now_s() - begin);
}

// What a channel has learnt in one placement would mislead it in the other, so each has new ones.

void round_trips(Options const &options, std::string const &directory)
{
	Channel_wish const wish{directory};
	std::vector<double> const limits(4, 1.3);
	for (Placement const placement : placements()) {
		title(heading("round trip, blocking", placement));
		Duos duos;
		add(duos,
			{eventfd_way(), connection_way(wish), libvchan_messages_way(wish),
				libvchan_stream_way(wish), vchan_way(wish, 0), loop_way(wish, 0), socketpair_way(),
				pipe_way(64 << 10)});
		auto const vsock = vsock_way();
		add(duos, vsock);
		uint64_t const count = placement == Placement::ONE_CPU ? 4000 : 600;
		compare_round_trips(duos, limits, placement, count / options.less(), options);
		remark("libvchan can't be told not to look again before it sleeps, where that is worth it");
		if (vsock.empty()) remark("vsock to oneself: not on this machine");
	}
}

void spinning_round_trips(Options const &options, std::string const &directory)
{
	title(heading("round trip, spinning", Placement::TWO_CPUS));
	if (placements().size() < 2) return remark("there is one CPU only");
	Channel_wish const wish{directory};
	Duos duos;
	add(duos,
		{spinning_word_way(), spinning_connection_way(wish), libvchan_messages_way(wish),
			vchan_way(wish, -1), loop_way(wish, 4096)});
	std::vector<double> const limits(4, 3.0);
	compare_round_trips(duos, limits, Placement::TWO_CPUS, 40'000 / options.less(), options);
}

void throughputs(Options const &options, std::string const &directory)
{
	for (Stream const stream : {Stream{1 << 20, CHUNK_MAX}, Stream{64 << 10, CHUNK_MAX},
			 Stream{1 << 20, 4096}, Stream{64 << 10, 4096}}) {
		for (Placement const placement : placements()) {
			Channel_wish const wish{directory, stream.ring};
			std::vector<Way> const ours = {
				libvchan_stream_way(wish), loop_way(wish, 4096), zero_copy_way(wish)};
			Duos duos;
			add(duos, ours);
			add(duos, {pipe_way(stream.ring), connection_way(wish), socketpair_way()});
			add(duos, vsock_way());
			compare_throughputs(duos, ours.size(), stream, placement, options);
		}
	}
}

} // namespace bulkhead::bench
