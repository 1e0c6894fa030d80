#include "vfs/config.h"

#include <algorithm>
#include <limits>

namespace bulkhead::vfs {

namespace {

using Type = Config_value::Type;

std::string_view described(Type type)
{
	switch (type) {
	case Type::ABSENT: return "nothing";
	case Type::TEXT: return "a text";
	case Type::NUMBER: return "a number";
	case Type::BOOLEAN: return "true or false";
	case Type::LIST: return "a list";
	case Type::OTHER: break;
	}
	return "a value of another type";
}

template <size_t N>
void put(Fixed_string<N> &to, std::string_view text)
{
	static_cast<void>(to.append(text.substr(0, to.capacity() - to.size())));
}

template <typename... ARGS>
Config_fault fault_of(std::string_view key, ARGS const &...problem)
{
	Config_fault fault = Config::fault(key, std::string_view());
	char text[fault.problem.capacity()];
	Text_writer writer{text};
	format_all(writer, problem...);
	put(fault.problem, writer.text());
	return fault;
}

Config_fault wrong_type(std::string_view key, Type found, std::string_view wanted)
{
	return fault_of(key, "is ", described(found), ", and should be ", wanted);
}

/* How many letters must be added, dropped, changed or swapped; at most the larger size. */
size_t distance(std::string_view a, std::string_view b)
{
	constexpr size_t LONGEST = 32;
	if (a.size() > LONGEST || b.size() > LONGEST) return LONGEST;
	size_t rows[3][LONGEST + 1];
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

Config_fault unknown(std::string_view key, std::span<Key const> known, std::span<Key const> common)
{
	Config_fault fault = Config::fault(key, "isn't known here");
	Key const *nearest = nullptr;
	size_t least = std::numeric_limits<size_t>::max();
	for (auto const &keys : {known, common})
		for (Key const &k : keys) {
			size_t const d = distance(key, k.name);
			if (d >= least || d > std::max<size_t>(1, k.name.size() / 2)) continue;
			least = d;
			nearest = &k;
		}
	if (nearest) {
		put(fault.remedy, "did you mean '");
		put(fault.remedy, nearest->name);
		put(fault.remedy, "'?");
		return fault;
	}
	put(fault.remedy, known.empty() ? "remove it" : "there are: ");
	for (Key const &k : known) {
		if (&k != known.data()) put(fault.remedy, ", ");
		put(fault.remedy, k.name);
	}
	return fault;
}

/* The factor that a unit stands for, 0 if it is none. */
uint64_t factor_of(std::string_view unit)
{
	struct Unit
	{
		std::string_view name;
		uint64_t factor;
	};
	static constexpr Unit UNITS[] = {{"", 1}, {"B", 1}, {"KiB", 1U << 10}, {"MiB", 1U << 20},
		{"GiB", 1U << 30}, {"TiB", uint64_t{1} << 40}, {"kB", 1'000}, {"KB", 1'000},
		{"MB", 1'000'000}, {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
	for (Unit const &u : UNITS)
		if (u.name == unit) return u.factor;
	return 0;
}

} // namespace

Config_fault Config::fault(std::string_view key, std::string_view problem, std::string_view remedy)
{
	Config_fault fault;
	put(fault.key, key);
	put(fault.problem, problem);
	put(fault.remedy, remedy);
	return fault;
}

Config_fault Config::fault(std::string_view key, Error error)
{
	return fault_of(key, key.empty() ? "can't be made: " : "can't be used: ", name_of(error));
}

Attempt<std::string_view, Config_fault> Config::text(
	std::string_view key, std::string_view otherwise) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return otherwise;
	if (found.type != Type::TEXT) return wrong_type(key, found.type, "a text");
	return found.text;
}

Attempt<uint64_t, Config_fault> Config::number(
	std::string_view key, uint64_t otherwise, uint64_t least, uint64_t most) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return otherwise;
	if (found.type != Type::NUMBER) return wrong_type(key, found.type, "a number");
	if (found.number < 0 || static_cast<uint64_t>(found.number) < least)
		return fault_of(key, "is ", found.number, "; the least is ", least);
	uint64_t const number = static_cast<uint64_t>(found.number);
	if (number > most) return fault_of(key, "is ", number, "; the most is ", most);
	return number;
}

Attempt<uint64_t, Config_fault> Config::size(std::string_view key, uint64_t otherwise) const
{
	Config_value const found = value(key);
	if (found.type != Type::TEXT) {
		auto const bytes = number(key, otherwise);
		if (found.type == Type::NUMBER || bytes.ok()) return bytes;
		return wrong_type(key, found.type, "a size such as \"16 MiB\"");
	}
	auto const bytes = size_of_text(found.text);
	if (bytes.ok()) return bytes.value();
	return fault(key, bytes.error() == Error::RANGE ? "is too large" : "is no size",
		"write a number of bytes, or a text such as \"64 KiB\", \"16 MiB\" or \"1 GiB\"");
}

Attempt<bool, Config_fault> Config::boolean(std::string_view key, bool otherwise) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return otherwise;
	if (found.type != Type::BOOLEAN) return wrong_type(key, found.type, "true or false");
	return found.boolean;
}

Attempt<size_t, Config_fault> Config::list_size(std::string_view key) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return size_t{0};
	if (found.type != Type::LIST) return wrong_type(key, found.type, "a list of texts");
	return found.items;
}

Attempt<std::string_view, Config_fault> Config::list_item(std::string_view key, size_t index) const
{
	Config_value const found = item(key, index);
	if (found.type != Type::TEXT) return wrong_type(key, found.type, "a list of texts");
	return found.text;
}

Attempt<void, Config_fault> Config::check(
	std::span<Key const> known, std::span<Key const> common) const
{
	auto const among = [](std::span<Key const> keys, std::string_view name) {
		return std::ranges::any_of(keys, [&](Key const &k) { return k.name == name; });
	};
	for (size_t i = 0; !key(i).empty(); ++i)
		if (!among(known, key(i)) && !among(common, key(i))) return unknown(key(i), known, common);
	for (Key const &k : known)
		if (k.required && value(k.name).type == Type::ABSENT) {
			Config_fault missing = fault(k.name, "is missing", "add it: ");
			put(missing.remedy, k.help);
			return missing;
		}
	return Ok{};
}

Attempt<uint64_t> size_of_text(std::string_view text)
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
	uint64_t const factor = factor_of(unit);
	if (factor == 0) return Error::INVALID;
	if (number > MOST / factor) return Error::RANGE;
	return number * factor;
}

} // namespace bulkhead::vfs
