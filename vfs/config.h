#pragma once

// The settings of one entry of a manifest, as its plugin sees them: typed, with faults that say
// which key is wrong, why, and what to write instead. Whoever reads the manifest adds file and
// line.

#include "base/attempt.h"
#include "base/fixed_string.h"
#include "base/guess.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace bulkhead::vfs {

/* What is wrong with a configuration. Texts that are too long are cut. */
struct Config_fault
{
	Fixed_string<64> key{}; // empty: the entry as a whole
	Fixed_string<160> problem{}; // "is 70000; the most is 65536"
	Fixed_string<160> remedy{}; // what to do; may be empty
};

enum class Kind : uint8_t {
	TEXT,
	NUMBER, // not negative
	SIZE, // a number of bytes, or a text such as "16 MiB"
	BOOLEAN,
	LIST, // of texts
};

/* A key that a plugin knows. */
struct Key
{
	std::string_view name;
	Kind kind;
	std::string_view help; // half a sentence
	bool required = false;
};

/* A value as the manifest has it. */
struct Config_value
{
	enum class Type : uint8_t { ABSENT, TEXT, NUMBER, BOOLEAN, LIST, OTHER };

	Type type = Type::ABSENT;
	std::string_view text = {};
	int64_t number = 0;
	bool boolean = false;
	size_t items = 0; // of a list
};

/* Implemented over whatever holds the manifest. Texts live as long as that. */
class Config
{
protected:
	~Config() = default;

public:
	/* The value of a key, ABSENT if there is none. */
	virtual Config_value value(std::string_view key) const = 0;

	/* An item of a list. */
	virtual Config_value item(std::string_view key, size_t index) const = 0;

	/* All keys that are there; empty from the end on. */
	virtual std::string_view key(size_t index) const = 0;

	/* Faults of this configuration. */
	static Config_fault fault(
		std::string_view key, std::string_view problem, std::string_view remedy = {});
	static Config_fault fault(std::string_view key, Error error);

	/*
	 * Typed values; the `otherwise` is for a key that is absent. Numbers lie
	 * from `least` to `most`.
	 */
	Attempt<std::string_view, Config_fault> text(
		std::string_view key, std::string_view otherwise = {}) const;
	Attempt<uint64_t, Config_fault> number(std::string_view key, uint64_t otherwise,
		uint64_t least = 0, uint64_t most = INT64_MAX) const;
	Attempt<uint64_t, Config_fault> size(std::string_view key, uint64_t otherwise) const;
	Attempt<bool, Config_fault> boolean(std::string_view key, bool otherwise) const;
	Attempt<size_t, Config_fault> list_size(std::string_view key) const;
	Attempt<std::string_view, Config_fault> list_item(std::string_view key, size_t index) const;

	/*
	 * Whether all keys are among those given or in `common`, and those required are there. An
	 * unknown key is compared with the known ones to guess what was meant.
	 */
	Attempt<void, Config_fault> check(
		std::span<Key const> known, std::span<Key const> common = {}) const;
};

using bulkhead::size_of_text;

} // namespace bulkhead::vfs
