#pragma once

// A text in TOML as plain values that know where they stand. Everything that is read from TOML is
// read by this.

#include "domain/manifest/fault.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::domain {

struct Toml
{
	/* Numbers are whole; others, dates and what lies too deep are OTHER. */
	enum class Type : uint8_t { TEXT, NUMBER, BOOLEAN, LIST, TABLE, OTHER };

	Type type = Type::OTHER;
	std::string key{}; // of an entry of a table
	Position at{}; // of the key, or of an item of a list
	Position value_at{};
	std::string text{};
	int64_t number = 0;
	bool boolean = false;
	std::vector<Toml> items{}; // of a list; of a table its entries, in the order of the text

	/* The entry of a table, null if there is none. */
	Toml const *find(std::string_view key) const;
};

/* "a text", "a number" … */
std::string_view described(Toml::Type type);

/* How deep tables and lists lie within each other; what is deeper is OTHER. */
inline constexpr unsigned TOML_DEPTH_MAX = 8;

/* A text is at most this long, in bytes. */
inline constexpr size_t TOML_MAX = size_t{1} << 20;

/* The table of all, or none and a fault: the first that the parser meets. */
std::optional<Toml> read_toml(std::string_view text, std::vector<Fault> &faults);

/* The text of a file of at most that size; else none, and why. */
std::optional<std::string> read_text_file(std::string const &path, std::string &why);

/* A name as TOML has it: in quotes where it needs them. */
std::string key_text(std::string_view name);

/* What may have been meant by a name that isn't among those known: "did you mean 'tpm'?", or which
 * there are. */
std::string suggestion(std::string_view wrong, std::span<std::string_view const> known);

} // namespace bulkhead::domain
