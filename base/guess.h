#pragma once

// Helps people who have written something: what they may have meant by a name that doesn't exist,
// and sizes as they write them.

#include "base/attempt.h"
#include "base/error.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

namespace bulkhead {

/* How many letters must be added, dropped, changed or swapped; 32 where a name is longer. */
constexpr size_t distance_of(std::string_view a, std::string_view b)
{
	constexpr size_t LONGEST = 32;
	if (a.size() > LONGEST || b.size() > LONGEST) return LONGEST;
	size_t rows[3][LONGEST + 1]{};
	for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
	for (size_t i = 1; i <= a.size(); ++i) {
		size_t *const row = rows[i % 3];
		size_t const *const above = rows[(i - 1) % 3];
		size_t const *const above_that = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= b.size(); ++j) {
			size_t const changed = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = std::min({changed, above[j] + 1, row[j - 1] + 1});
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = std::min(row[j], above_that[j - 2] + 1);
		}
	}
	return rows[a.size() % 3][b.size()];
}

/* The name that is most like a wrong one, as long as it is offered all there are. */
class Guess
{
private:
	std::string_view _wrong;
	std::string_view _nearest{};
	size_t _least = std::numeric_limits<size_t>::max();

public:
	constexpr explicit Guess(std::string_view wrong) : _wrong(wrong) {}

	constexpr void offer(std::string_view name)
	{
		size_t const distance = distance_of(_wrong, name);
		if (distance >= _least || distance > std::max<size_t>(1, name.size() / 2)) return;
		_least = distance;
		_nearest = name;
	}

	/* Empty: none is like it. */
	constexpr std::string_view nearest() const { return _nearest; }
};

/* The factor that a unit stands for, 0 if it is none. */
constexpr uint64_t factor_of_unit(std::string_view unit)
{
	struct Unit
	{
		std::string_view name;
		uint64_t factor;
	};
	constexpr Unit UNITS[] = {{"", 1}, {"B", 1}, {"KiB", 1U << 10}, {"MiB", 1U << 20},
		{"GiB", 1U << 30}, {"TiB", uint64_t{1} << 40}, {"kB", 1'000}, {"KB", 1'000},
		{"MB", 1'000'000}, {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
	for (Unit const &u : UNITS)
		if (u.name == unit) return u.factor;
	return 0;
}

/* "4096", "64 KiB", "1GiB", "10 MB": a number of bytes. Error: INVALID, RANGE. */
constexpr Attempt<uint64_t> size_of_text(std::string_view text)
{
	constexpr uint64_t MOST = std::numeric_limits<int64_t>::max();
	uint64_t number = 0;
	size_t digits = 0;
	for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
		uint64_t const digit = static_cast<uint64_t>(text[digits] - '0');
		if (number > (MOST - digit) / 10) return Error::RANGE;
		number = number * 10 + digit;
	}
	if (digits == 0) return Error::INVALID;
	std::string_view unit = text.substr(digits);
	while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
	uint64_t const factor = factor_of_unit(unit);
	if (factor == 0) return Error::INVALID;
	if (number > MOST / factor) return Error::RANGE;
	return number * factor;
}

} // namespace bulkhead
