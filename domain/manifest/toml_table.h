#pragma once

// A table of a text in TOML as its reader wants it: typed values within bounds. What isn't so is a
// fault with a remedy, and the value that is returned is the one that stands for an absent key.

#include "domain/manifest/toml.h"

#include <initializer_list>

namespace bulkhead::domain {

class Toml_table
{
public:
	struct Range
	{
		uint64_t least;
		uint64_t most;
	};

private:
	Toml const &_toml;
	std::string _heading;
	std::vector<Fault> &_faults;

	void _wrong_type(Toml const &value, std::string_view wanted);
	bool _within(Toml const &value, uint64_t number, Range range);
	Toml const *_typed(std::string_view key, Toml::Type type, std::string_view wanted);

public:
	/* All three outlive this; `heading` as the text has it: "[domain.tpm]". */
	Toml_table(Toml const &toml, std::string heading, std::vector<Fault> &faults)
		: _toml(toml), _heading(std::move(heading)), _faults(faults)
	{}

	std::string const &heading() const { return _heading; }
	Position at() const { return _toml.at; }
	Toml const *find(std::string_view key) const { return _toml.find(key); }

	/* At a key if it is there, else at the table. */
	void fault(std::string_view key, std::string problem, std::string remedy = {});
	void fault_at(Position at, std::string problem, std::string remedy = {});

	/* Finds keys that aren't among these. */
	void check_keys(std::initializer_list<std::string_view> known);

	/* Never with a NUL. */
	std::string text(std::string_view key);
	bool boolean(std::string_view key, bool otherwise);
	uint64_t number(std::string_view key, uint64_t otherwise, Range range);
	/* Bytes: a number, or "16 MiB". */
	uint64_t size(std::string_view key, uint64_t otherwise, Range range);
	/* Percent: a number, or "50 %". */
	uint64_t percent(std::string_view key, uint64_t otherwise, Range range);
	/* The index of a text among these. */
	size_t choice(
		std::string_view key, size_t otherwise, std::initializer_list<std::string_view> choices);

	/* Items that aren't texts, or have a NUL, are left out. */
	std::vector<Toml const *> texts(std::string_view key, size_t most);
	std::vector<std::string> strings(std::string_view key, size_t most);

	/* Null if it is absent or something else. */
	Toml const *table(std::string_view key);
	Toml const *list(std::string_view key, size_t most);
	/* Whether an entry of a table of tables is one. */
	bool holds_table(Toml const &entry, std::string_view heading);
};

} // namespace bulkhead::domain
