#pragma once

// Lines for the journal. What a caller has sent stands in them, so each part is made harmless: one
// line stays one line, and its end, the verdict, is never cut off.

#include "base/log.h"

#include <string>
#include <string_view>

namespace bulkhead::qrexec {

/* The longest name in a line, in bytes; of a longer one the rest is left out. */
inline constexpr size_t NAME_IN_JOURNAL_MAX = 512;

/* Printable ASCII as it is, all else as an underscore. */
std::string printable(std::string_view text, size_t max = NAME_IN_JOURNAL_MAX);

/*
 * Standard error, as journald reads it. Whoever reads there slowly must not stop us: lines for
 * which there is no room are left out, and their number is told later.
 */
class Journal final : public Log_sink
{
private:
	enum class Kind : uint8_t { OTHER, SOCKET, PIPE };

	Kind _kind = Kind::OTHER;
	size_t _lost = 0;

	bool _write(std::string line) const;

public:
	Journal();
	void log(Level level, std::string_view message) override;
};

/* The system's log, for programs whose standard error nobody reads. */
class System_log final : public Log_sink
{
public:
	explicit System_log(char const *program);
	void log(Level level, std::string_view message) override;
};

} // namespace bulkhead::qrexec
