#include "domain/manifest/toml_table.h"

#include "base/guess.h"

#include <algorithm>

namespace bulkhead::domain {

using Type = Toml::Type;

void Toml_table::fault_at(Position at, std::string problem, std::string remedy)
{
	_faults.push_back({at, std::move(problem), std::move(remedy)});
}

void Toml_table::fault(std::string_view key, std::string problem, std::string remedy)
{
	Toml const *const value = _toml.find(key);
	fault_at(value ? value->at : _toml.at, std::move(problem), std::move(remedy));
}

void Toml_table::_wrong_type(Toml const &value, std::string_view wanted)
{
	fault_at(value.at,
		"'" + printable(value.key) + "' in " + _heading + " is " +
			std::string(described(value.type)),
		"write " + std::string(wanted));
}

bool Toml_table::_within(Toml const &value, uint64_t number, Range range)
{
	bool const low = number < range.least;
	if (!low && number <= range.most) return true;
	fault_at(value.at,
		"'" + value.key + "' in " + _heading + " is " + std::to_string(number) + "; the " +
			(low ? "least is " : "most is ") + std::to_string(low ? range.least : range.most),
		low ? "choose more" : "choose less");
	return false;
}

Toml const *Toml_table::_typed(std::string_view key, Type type, std::string_view wanted)
{
	Toml const *const value = _toml.find(key);
	if (!value || value->type == type) return value;
	_wrong_type(*value, wanted);
	return nullptr;
}

void Toml_table::check_keys(std::initializer_list<std::string_view> known)
{
	for (Toml const &entry : _toml.items)
		if (std::ranges::find(known, entry.key) == known.end())
			fault_at(entry.at, "unknown key '" + printable(entry.key) + "' in " + _heading,
				suggestion(entry.key, known));
}

std::string Toml_table::text(std::string_view key)
{
	Toml const *const value = _typed(key, Type::TEXT, "a text in quotes");
	if (!value) return {};
	if (value->text.find('\0') == std::string::npos) return value->text;
	fault(key, "'" + value->key + "' in " + _heading + " has a zero byte", "remove it");
	return {};
}

bool Toml_table::boolean(std::string_view key, bool otherwise)
{
	Toml const *const value = _typed(key, Type::BOOLEAN, "true or false");
	return value ? value->boolean : otherwise;
}

uint64_t Toml_table::number(std::string_view key, uint64_t otherwise, Range range)
{
	Toml const *const value = _typed(key, Type::NUMBER, "a number");
	if (!value) return otherwise;
	if (value->number < 0) {
		fault(key, "'" + value->key + "' in " + _heading + " is negative",
			"the least is " + std::to_string(range.least));
		return otherwise;
	}
	uint64_t const found = static_cast<uint64_t>(value->number);
	return _within(*value, found, range) ? found : otherwise;
}

uint64_t Toml_table::size(std::string_view key, uint64_t otherwise, Range range)
{
	constexpr std::string_view WANTED = "a number of bytes, or a text such as \"16 MiB\"";
	Toml const *const value = _toml.find(key);
	if (value && value->type == Type::NUMBER) return number(key, otherwise, range);
	if (!_typed(key, Type::TEXT, WANTED)) return otherwise;
	auto const bytes = size_of_text(value->text);
	if (bytes.ok()) return _within(*value, bytes.value(), range) ? bytes.value() : otherwise;
	fault(key,
		"'" + value->key + "' in " + _heading +
			(bytes.error() == Error::RANGE ? " is too large" : " is no size"),
		"write " + std::string(WANTED));
	return otherwise;
}

uint64_t Toml_table::percent(std::string_view key, uint64_t otherwise, Range range)
{
	constexpr std::string_view WANTED = "a number, or a text such as \"50 %\"";
	Toml const *const value = _toml.find(key);
	if (value && value->type == Type::NUMBER) return number(key, otherwise, range);
	if (!_typed(key, Type::TEXT, WANTED)) return otherwise;
	std::string_view text = value->text;
	bool const has_sign = text.ends_with('%');
	if (has_sign) text.remove_suffix(1);
	while (text.ends_with(' ')) text.remove_suffix(1);
	bool const digits = !text.empty() && text.size() <= 9 &&
		std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
	if (!has_sign || !digits) {
		fault(key, "'" + value->key + "' in " + _heading + " is no percentage",
			"write " + std::string(WANTED));
		return otherwise;
	}
	uint64_t found = 0;
	for (char const c : text) found = found * 10 + static_cast<uint64_t>(c - '0');
	return _within(*value, found, range) ? found : otherwise;
}

size_t Toml_table::choice(
	std::string_view key, size_t otherwise, std::initializer_list<std::string_view> choices)
{
	Toml const *const value = _typed(key, Type::TEXT, "a text in quotes");
	if (!value) return otherwise;
	auto const found = std::ranges::find(choices, value->text);
	if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
	fault(key,
		"'" + value->key + "' in " + _heading + " can't be \"" + printable(value->text) + "\"",
		suggestion(value->text, choices));
	return otherwise;
}

Toml const *Toml_table::list(std::string_view key, size_t most)
{
	Toml const *const value = _typed(key, Type::LIST, "a list: [\"…\", \"…\"]");
	if (!value || value->items.size() <= most) return value;
	fault(key,
		"'" + value->key + "' in " + _heading + " has " + std::to_string(value->items.size()) +
			" entries; the most is " + std::to_string(most));
	return nullptr;
}

std::vector<Toml const *> Toml_table::texts(std::string_view key, size_t most)
{
	std::vector<Toml const *> result;
	Toml const *const value = list(key, most);
	if (!value) return result;
	for (Toml const &item : value->items) {
		if (item.type == Type::TEXT && item.text.find('\0') == std::string::npos) {
			result.push_back(&item);
			continue;
		}
		std::string const what =
			item.type == Type::TEXT ? "a text with a zero byte" : std::string(described(item.type));
		fault_at(item.at, "'" + value->key + "' in " + _heading + " holds " + what,
			"write texts in quotes");
	}
	return result;
}

std::vector<std::string> Toml_table::strings(std::string_view key, size_t most)
{
	std::vector<std::string> result;
	for (Toml const *const item : texts(key, most)) result.push_back(item->text);
	return result;
}

Toml const *Toml_table::table(std::string_view key)
{
	return _typed(key, Type::TABLE, "a table: begin it with a heading in brackets");
}

bool Toml_table::holds_table(Toml const &entry, std::string_view heading)
{
	if (entry.type == Type::TABLE) return true;
	fault_at(entry.at, "'" + printable(entry.key) + "' doesn't belong in " + _heading,
		"begin a table: " + printable(heading));
	return false;
}

} // namespace bulkhead::domain
