#pragma once

// Messages for the person who runs a system. A part is handed a Log and doesn't know where its
// messages go: `log.warning("tpm: burst count ", n, " at locality ", Hex{l});`

#include "base/format.h"

#include <cstdint>
#include <string_view>

namespace bulkhead {

enum class Level : uint8_t {
	ERROR, // something asked for was not done
	WARNING, // done, but someone should look at it
	INFO, // what an operator wants to know of normal operation
	DEBUG, // what a developer wants to know
};

constexpr std::string_view name_of(Level level)
{
	switch (level) {
	case Level::ERROR: return "error";
	case Level::WARNING: return "warning";
	case Level::INFO: return "info";
	case Level::DEBUG: return "debug";
	}
	return "unknown level";
}

/* Where messages go: a file, a serial line, a test. */
class Log_sink
{
protected:
	~Log_sink() = default;

public:
	/* The message is one line without its end, and valid during the call only. */
	virtual void log(Level level, std::string_view message) = 0;
};

/* Where messages go that nobody wants. */
class Null_log_sink final : public Log_sink
{
public:
	void log(Level, std::string_view) override {}
};

/* What a part logs with. Cheap to copy; the sink outlives it. */
class Log
{
public:
	/* The longest message in bytes; a longer one is cut and marked with " [cut]". */
	static constexpr size_t MESSAGE_MAX = 256;

private:
	Log_sink *_sink = nullptr;
	Level _limit = Level::INFO;

	static constexpr std::string_view CUT = " [cut]";

	/* Drops a character of UTF-8 that the cut has halved. */
	static constexpr std::string_view _whole_characters(std::string_view text)
	{
		size_t behind_first = text.size();
		while (behind_first && (text[behind_first - 1] & 0xc0) == 0x80) --behind_first;
		if (behind_first == 0) return text;
		auto const first = static_cast<unsigned char>(text[behind_first - 1]);
		size_t const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
		bool const whole = text.size() - (behind_first - 1) >= length;
		return whole ? text : text.substr(0, behind_first - 1);
	}

	[[gnu::noinline]] void _send(
		Level level, Text_writer const &writer, std::span<char, MESSAGE_MAX> message) const
	{
		if (!writer.cut()) return _sink->log(level, writer.text());
		size_t const size = _whole_characters(writer.text()).size();
		std::copy(CUT.begin(), CUT.end(), message.begin() + static_cast<ptrdiff_t>(size));
		_sink->log(level, {message.data(), size + CUT.size()});
	}

public:
	/* Drops every message. */
	constexpr Log() = default;

	/* Passes on the messages up to `limit`: a limit of WARNING drops INFO and DEBUG. */
	constexpr explicit Log(Log_sink &sink, Level limit = Level::INFO) : _sink(&sink), _limit(limit)
	{}

	/* Whether a message of this level arrives; to ask before one gathers what is costly. */
	constexpr bool wants(Level level) const { return _sink && level <= _limit; }

	/* Messages are put together from values as by `format_value`. */
	template <Formattable... ARGS>
	void log(Level level, ARGS const &...args) const
	{
		if (!wants(level)) return;
		char message[MESSAGE_MAX];
		Text_writer writer{std::span<char>(message).first(MESSAGE_MAX - CUT.size())};
		format_all(writer, args...);
		_send(level, writer, message);
	}

	template <Formattable... ARGS>
	void error(ARGS const &...args) const
	{
		log(Level::ERROR, args...);
	}
	template <Formattable... ARGS>
	void warning(ARGS const &...args) const
	{
		log(Level::WARNING, args...);
	}
	template <Formattable... ARGS>
	void info(ARGS const &...args) const
	{
		log(Level::INFO, args...);
	}
	template <Formattable... ARGS>
	void debug(ARGS const &...args) const
	{
		log(Level::DEBUG, args...);
	}
};

} // namespace bulkhead
