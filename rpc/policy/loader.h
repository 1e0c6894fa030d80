#pragma once

// Reads a policy's files into rules, and collects all faults on the way. Used by Policy only.

#include "rpc/policy/policy.h"

namespace bulkhead::policy {

class Loader
{
private:
	struct Word
	{
		std::string_view text;
		uint32_t column;
	};

	/* What a file is read for. */
	struct Purpose
	{
		std::string_view root; // what its includes are relative to
		bool old_format = false; // rules without service and argument, which are these
		Word service{};
		Word argument{};
	};

	/* A file of the old format and whom it is for. */
	struct Compat_file
	{
		std::string_view name;
		std::string_view service;
		std::string_view argument; // empty: every one
	};

	Policy &_policy;
	Files &_files;
	std::string_view _compat;
	Growing_list<std::string_view> _file_names;
	Growing_list<std::string_view> _open; // files that are being read, each included by the former
	Growing_list<Rule> _rules;
	Growing_list<Fault> _faults;
	Growing_list<Token> _sources;
	Growing_list<Token> _targets;
	Growing_list<Word> _words; // of the line
	size_t _text_bytes = 0;
	bool _stopped = false;

	Attempt<void> _fault(
		Fault::Kind kind, Place place, std::string_view subject, std::string_view suggestion = {});
	Attempt<void> _fault(Fault::Kind kind, Place line, Word const &word,
		std::span<std::string_view const> meant = {});

	Attempt<std::string_view> _path(std::string_view root, std::string_view path);
	Attempt<void> _names_in(std::string_view directory, Place place, Growing_list<Word> &names,
		bool policies, bool &there);
	Attempt<void> _include(std::string_view path, Purpose const &purpose, Place place);
	Attempt<void> _include_directory(std::string_view path, Purpose const &purpose, Place place);
	Attempt<void> _include_compat(Place place);
	Attempt<void> _compat_file(Compat_file const &file, Place place);
	Attempt<void> _implicit_denies(uint32_t file, Purpose const &purpose);
	Attempt<void> _text(std::string_view text, uint32_t file, Purpose const &purpose);
	Attempt<void> _line(std::string_view line, Place place, Purpose const &purpose);
	Attempt<void> _split(std::string_view line);
	Attempt<void> _directive(Place place, Purpose const &purpose);
	Attempt<void> _include_service(Place place, Purpose const &purpose);
	Attempt<void> _rule(std::string_view line, Place place, Purpose const &purpose);
	Attempt<bool> _service_and_argument(Place place, Word service, Word argument, Rule &rule);
	Attempt<bool> _action(Place place, size_t first, Rule &rule);
	Attempt<bool> _parameter(Place place, Word word, Rule &rule, unsigned &seen);
	Attempt<bool> _yes_or_no(Place place, Word value, bool &to);
	Attempt<uint32_t> _token(Place place, Word word, Position position);
	Attempt<uint32_t> _intern(Token const &token, Position position);
	Attempt<void> _finish();

public:
	Loader(Policy &policy, Files &files, std::string_view compat);

	Attempt<void> load(std::span<std::string_view const> directories);
	Attempt<void> load_file(std::string_view directory, std::string_view name);
};

} // namespace bulkhead::policy
