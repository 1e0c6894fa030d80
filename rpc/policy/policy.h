#pragma once

// A policy: who may call what. Loaded as a whole from files in Qubes' language (doc/policy.md), it
// never changes afterwards: to reload is to load another one and to let that take this one's place.
// One fault in one file leaves a policy that denies everything.

#include "base/owned.h"
#include "rpc/policy/fault.h"
#include "rpc/policy/files.h"
#include "rpc/policy/token.h"

namespace bulkhead::policy {

/* How much a policy may be; and MOST_FILES; more is a fault (TOO_DEEP, TOO_MUCH). */
inline constexpr size_t DEEPEST_INCLUDE = 32;
inline constexpr size_t MOST_RULES = 200'000;
inline constexpr size_t MOST_TEXT_BYTES = 64 * 1024 * 1024;

class Policy final
{
private:
	friend class Loader;

	Arena _arena; // of the texts
	Growing_list<std::string_view> _files{_arena};
	Growing_list<Fault> _faults{_arena};
	Growing_list<Rule> _rules{_arena};
	Growing_list<Token> _tokens{_arena};
	Table _numbers{_arena}; // of tokens
	Table _first{_arena}; // rules, by service and argument

public:
	/* Without rules: it denies everything. The allocator outlives it. */
	explicit Policy(Allocator &allocator) : _arena(allocator) {}

	/*
	 * Reads directories: their files `*.policy`, sorted by name; of two of one name that in the
	 * earlier directory counts. A directory that isn't there is empty, but one must be there.
	 * `compat` is where `!compat-4.0` looks. If `file` is given, only that of the first directory
	 * is read, and what it includes. A policy with faults is a result, too. Error:
	 * OUT_OF_MEMORY. The allocator outlives the policy; `files` may go.
	 */
	static Attempt<Owned<Policy>> load(Allocator &allocator, Files &files,
		std::span<std::string_view const> directories, std::string_view compat,
		std::optional<std::string_view> file = {});

	/* With faults there are no rules. In the order in which they were found. */
	std::span<Fault const> faults() const { return _faults.view(); }
	bool broken() const { return !_faults.empty(); }

	/* In the order in which they are looked at. */
	std::span<Rule const> rules() const { return _rules.view(); }

	/* The first rule that is written for a service and argument; Rule::next leads on. Or NONE. */
	uint32_t first(std::string_view service, std::string_view argument) const
	{
		return _first.find(service, argument);
	}

	/* The words that rules have for domains, and a word's number, or NONE. */
	std::span<Token const> tokens() const { return _tokens.view(); }
	uint32_t token(std::string_view text) const { return _numbers.find(text); }

	/* The path of a file as it was read. */
	std::string_view file_name(uint32_t file) const
	{
		return file < _files.size() ? _files[file] : std::string_view();
	}
};

} // namespace bulkhead::policy
