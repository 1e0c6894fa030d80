#include "tool/vchan/ping.h"

#include "tool/report.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <numeric>
#include <poll.h>
#include <vector>

namespace bulkhead::tool {

namespace {

// How long one waits before one looks whether a signal has come between two waits.
constexpr int SLICE_MS = 1000;

double now_us()
{
	timespec now{};
	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/* False if nobody reads it. */
bool say(std::string const &text)
{
	return fputs(text.c_str(), stdout) >= 0 && fflush(stdout) == 0;
}

/* Whether this result of a wait says that one has to wait on. */
bool in_vain(ssize_t result)
{
	return result == -EAGAIN || result == -ETIMEDOUT || result == -EINTR;
}

constexpr char const *ENDED = "the other side has ended";

class Pinger
{
private:
	Ping_options const &_options;
	Interrupt _interrupt{};
	Channel _channel{};
	std::vector<uint8_t> _request;
	std::vector<uint8_t> _answer;
	std::vector<double> _times_us{};
	unsigned _sent = 0;
	bool _unheard = false; // nobody reads what we say

	std::optional<Trouble> _failed(ssize_t error) const
	{
		return trouble_of(_channel.get(), static_cast<int>(error));
	}

	/* Different each time, so that an old answer isn't taken for a new one. */
	void _compose()
	{
		uint32_t word = _sent * 2654435761u + 1;
		for (uint8_t &byte : _request) {
			word = word * 1664525 + 1013904223;
			byte = static_cast<uint8_t>(word >> 24);
		}
	}

	/* Both ways at once, as much more than a ring may be under way. */
	std::optional<Trouble> _exchange()
	{
		Bulkhead_vchan *const channel = _channel.get();
		size_t const size = _request.size();
		double const end_us = now_us() + _options.channel.timeout_s * 1e6;
		for (size_t out = 0, in = 0; in < size;) {
			ssize_t n = 0;
			if (out < size) {
				n = bulkhead_vchan_write(channel, _request.data() + out, size - out, 0);
				if (n < 0 && !in_vain(n)) return _failed(n);
				out += static_cast<size_t>(std::max<ssize_t>(n, 0));
			}
			int const patience_ms = out < size ? 0 : SLICE_MS;
			n = bulkhead_vchan_read(channel, _answer.data() + in, size - in, patience_ms);
			if (n == 0) return Trouble{Exit::FAILURE, ENDED};
			if (n < 0 && !in_vain(n)) return _failed(n);
			in += static_cast<size_t>(std::max<ssize_t>(n, 0));
			if (n < 0 && out < size)
				(void)bulkhead_vchan_wait(
					channel, BULKHEAD_VCHAN_DATA | BULKHEAD_VCHAN_ROOM, SLICE_MS);
			if (_interrupt.number()) return {};
			if (n < 0 && _options.channel.timeout_s >= 0 && now_us() > end_us)
				return Trouble{Exit::FAILURE,
					fmt::format("no answer within {} s", _options.channel.timeout_s),
					"is it an echo? bulkhead vchan ping --serve, or listen -- cat"};
		}
		if (_answer != _request)
			return Trouble{Exit::FAILURE, "what came back isn't what was sent",
				"is it an echo? bulkhead vchan ping --serve, or listen -- cat"};
		return {};
	}

	void _pause() const
	{
		pollfd watched{_interrupt.fd(), POLLIN, 0};
		(void)poll(&watched, 1, static_cast<int>(_options.interval_s * 1000));
	}

	std::optional<Trouble> _run()
	{
		while (_sent < _options.count && !_interrupt.number()) {
			if (_sent) _pause();
			if (_interrupt.number()) break;
			_compose();
			_sent++;
			double const begun_us = now_us();
			std::optional<Trouble> trouble = _exchange();
			double const time_us = now_us() - begun_us;
			if (trouble) return trouble;
			if (_interrupt.number()) break;
			_times_us.push_back(time_us);
			if (_options.quiet || _options.json) continue;
			_unheard = !say(fmt::format("{} B from {}: seq={} time={:.1f} us\n", _request.size(),
				_options.channel.peer.text(), _sent, time_us));
			if (_unheard) break;
		}
		return {};
	}

	void _summarize()
	{
		size_t const answered = _times_us.size();
		Quantiles const times = Quantiles::of(_times_us);
		Bulkhead_vchan_stats stats{};
		stats.size = sizeof stats;
		bulkhead_vchan_stats(_channel.get(), &stats);
		std::string const transport = transport_of(_options.channel);
		if (_options.json) {
			nlohmann::ordered_json const json{{"peer", _options.channel.peer.domain},
				{"port", _options.channel.peer.port}, {"transport", transport},
				{"bytes", _request.size()}, {"sent", _sent}, {"answered", answered},
				{"min_us", times.min}, {"median_us", times.median}, {"p99_us", times.p99},
				{"max_us", times.max}, {"mean_us", times.mean}, {"rings", stats.rings},
				{"sleeps", stats.sleeps}};
			_unheard = !say(json.dump(2) + "\n");
			return;
		}
		std::string text = fmt::format("{} ({}), {} B: {} sent, {} answered, {} rings, {} sleeps\n",
			_options.channel.peer.text(), transport, _request.size(), _sent, answered, stats.rings,
			stats.sleeps);
		if (answered)
			text += fmt::format("min/median/p99/max {:.1f}/{:.1f}/{:.1f}/{:.1f} us\n", times.min,
				times.median, times.p99, times.max);
		_unheard = !say(text) || _unheard;
	}

public:
	explicit Pinger(Ping_options const &options)
		: _options(options), _request(options.bytes), _answer(options.bytes)
	{}

	int run()
	{
		std::optional<Trouble> trouble = open_channel(_options.channel, _channel);
		if (!trouble) trouble = await_peer(_options.channel, _channel.get(), _interrupt);
		if (trouble && _interrupt.number()) return _interrupt.code();
		if (trouble) return report(*trouble);
		trouble = _run();
		if (!_unheard) _summarize();
		if (trouble) return report(*trouble);
		if (_unheard) return 128 + SIGPIPE;
		return _times_us.empty() && _interrupt.number() ? _interrupt.code() : 0;
	}
};

/* As much as there is of both data and room; a negative errno, 0 at the end. */
ssize_t echo_some(Bulkhead_vchan *channel)
{
	iovec from[2]{}, to[2]{};
	ssize_t const data = bulkhead_vchan_peek(channel, from, SIZE_MAX);
	if (data == -EAGAIN) {
		int const waited = bulkhead_vchan_wait(channel, BULKHEAD_VCHAN_DATA, SLICE_MS);
		return waited > 0 ? -EAGAIN : waited;
	}
	if (data <= 0) return data;
	ssize_t const room = bulkhead_vchan_reserve(channel, to, SIZE_MAX);
	if (room == -EAGAIN || room == 0) {
		int const waited = bulkhead_vchan_wait(channel, BULKHEAD_VCHAN_ROOM, SLICE_MS);
		return waited > 0 ? -EAGAIN : waited;
	}
	if (room < 0) return room;
	// One piece of each at a time: the rest follows.
	size_t const size = std::min(from[0].iov_len, to[0].iov_len);
	memcpy(to[0].iov_base, from[0].iov_base, size);
	bulkhead_vchan_commit(channel, size);
	bulkhead_vchan_consume(channel, size);
	return static_cast<ssize_t>(size);
}

int echo_one(Ping_options const &options, Interrupt const &interrupt)
{
	Channel channel;
	std::optional<Trouble> trouble = open_channel(options.channel, channel);
	if (!trouble) trouble = await_peer(options.channel, channel.get(), interrupt);
	if (trouble) return interrupt.number() ? interrupt.code() : report(*trouble);
	for (;;) {
		ssize_t const result = echo_some(channel.get());
		if (interrupt.number()) return interrupt.code();
		// Whoever has its answers may go at any time.
		if (result == 0 || result == -EPIPE) return 0;
		if (result < 0 && !in_vain(result))
			return report(trouble_of(channel.get(), static_cast<int>(result)));
	}
}

} // namespace

Quantiles Quantiles::of(std::span<double> values)
{
	if (values.empty()) return {};
	std::ranges::sort(values);
	auto const at = [&](double part) {
		return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
	};
	double const sum = std::accumulate(values.begin(), values.end(), 0.0);
	return {
		values.front(), at(0.5), at(0.99), values.back(), sum / static_cast<double>(values.size())};
}

int ping(Ping_options const &options) { return Pinger(options).run(); }

int echo(Ping_options const &options)
{
	Interrupt const interrupt;
	int code = 0;
	do {
		code = echo_one(options, interrupt);
		bool const found_nobody = code == static_cast<int>(Exit::CONNECT) ||
			code == static_cast<int>(Exit::USAGE) || code == static_cast<int>(Exit::FAILURE);
		if (found_nobody) break;
	} while (options.keep && !interrupt.number());
	return options.keep && interrupt.number() ? 0 : code;
}

} // namespace bulkhead::tool
