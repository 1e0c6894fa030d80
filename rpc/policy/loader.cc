// Reads a policy's files into rules, and collects all faults on the way.

#include "base/format.h"
#include "rpc/policy/policy.h"

#include <algorithm>
#include <tuple>

namespace bulkhead::policy {

namespace {

using Kind = Fault::Kind;

constexpr size_t MOST_FAULTS = 10'000;
constexpr std::string_view SUFFIX = ".policy";
constexpr std::string_view OLD_INCLUDE = "$include:";
constexpr std::string_view NEW_INCLUDE = "!include ";

constexpr bool file_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

constexpr bool service_character(char c)
{
	return file_name_character(c) || (c >= 'A' && c <= 'Z');
}

constexpr bool argument_character(char c) { return service_character(c) || c == '+'; }

// The separators of ASCII count, as they do upstream.
constexpr bool blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
}

constexpr std::array<std::string_view, 5> PARAMETERS{
	"target", "default_target", "user", "notify", "autostart"};

struct Directive
{
	std::string_view name;
	size_t fields;
};

constexpr std::array DIRECTIVES{
	Directive{"!include", 2},
	Directive{"!include-dir", 2},
	Directive{"!include-service", 4},
	Directive{"!compat-4.0", 1},
};

} // namespace

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
		std::string_view service{}; // of a file of the old format, whose rules have neither this
		std::string_view argument{}; // nor this; empty: of the new format

		bool old_format() const { return !argument.empty(); }
	};

	struct Policy_file
	{
		std::string_view directory;
		std::string_view name;
	};

	Policy &_policy;
	Files &_files;
	std::string_view _compat;
	// Files that are being read, each included by the former.
	Growing_list<std::string_view> _open{_policy._arena};
	Growing_list<Word> _words{_policy._arena}; // of the line
	size_t _text_bytes = 0;
	bool _stopped = false;

	Attempt<void> _fault(Kind kind, Place place, std::string_view subject)
	{
		if (_stopped) return Ok{};
		_stopped = _policy._faults.size() >= MOST_FAULTS || kind == Kind::TOO_MUCH;
		return _policy._faults.push_back({kind, place, TRY(copy(_policy._arena, subject))});
	}

	Attempt<void> _fault(Kind kind, Place line, Word const &word)
	{
		return _fault(kind, {line.file, line.line, word.column}, word.text);
	}

	/* Joins a path to the directory that it is relative to; leaves out what means nothing. */
	Attempt<std::string_view> _path(std::string_view root, std::string_view path)
	{
		bool const absolute = path.starts_with('/');
		std::string_view const before = absolute ? std::string_view() : root;
		Text_writer writer(
			TRY(create_array<char>(_policy._arena, before.size() + path.size() + 2)));
		writer.put(before);
		while (!path.empty()) {
			std::string_view const part = path.substr(0, path.find('/'));
			path.remove_prefix(std::min(path.size(), part.size() + 1));
			if (part.empty() || part == ".") continue;
			std::string_view const written = writer.text();
			if (absolute || (!written.empty() && !written.ends_with('/'))) writer.put('/');
			writer.put(part);
		}
		return writer.text();
	}

	/* The files of a directory, sorted. Whether it is there; what else is wrong is a fault. */
	Attempt<bool> _list(std::string_view directory, Place place, Names &names)
	{
		auto const listed = _files.list(directory, names);
		std::ranges::sort(names.list);
		if (listed.ok()) return true;
		names.list.truncate(0);
		if (listed.error() == Error::OUT_OF_MEMORY) return Error::OUT_OF_MEMORY;
		if (listed.error() == Error::NOT_FOUND) return false;
		bool const many = listed.error() == Error::TOO_LONG;
		TRY(_fault(many ? Kind::TOO_MUCH : Kind::UNREADABLE, place, directory));
		return true;
	}

	Attempt<void> _include(std::string_view path, Purpose const &purpose, Place place)
	{
		if (_stopped) return Ok{};
		if (std::ranges::find(_open, path) != _open.end())
			return _fault(Kind::INCLUDES_ITSELF, place, path);
		if (_open.size() >= DEEPEST_INCLUDE) return _fault(Kind::TOO_DEEP, place, path);
		auto const read = _files.read(path);
		if (!read.ok()) {
			if (read.error() == Error::OUT_OF_MEMORY) return Error::OUT_OF_MEMORY;
			bool const missing = read.error() == Error::NOT_FOUND;
			return _fault(missing ? Kind::NO_FILE : Kind::UNREADABLE, place, path);
		}
		uint32_t const file = _policy._files.size();
		if (file >= MOST_FILES || read.value().size() > MOST_TEXT_BYTES - _text_bytes)
			return _fault(Kind::TOO_MUCH, place, path);
		_text_bytes += read.value().size();
		std::span<char> const text = TRY(copy(_policy._arena, std::span(read.value())));
		TRY(_policy._files.push_back(path));
		TRY(_open.push_back(path));
		TRY(_text(text, file, purpose));
		_open.truncate(_open.size() - 1);
		return Ok{};
	}

	/*
	 * Includes the policies of directories, by name; of two of one name that in the earlier one.
	 * Without a purpose each is for itself. Whether any directory is there.
	 */
	Attempt<bool> _include_all(
		std::span<std::string_view const> directories, Purpose const *purpose, Place place)
	{
		Table known(_policy._arena);
		Growing_list<Policy_file> all(_policy._arena);
		bool there = false;
		for (std::string_view const directory : directories) {
			Names names{_policy._arena};
			there = TRY(_list(directory, place, names)) || there;
			for (std::string_view const name : names.list) {
				if (!name.ends_with(SUFFIX) || name.starts_with('.')) continue;
				if (!std::ranges::all_of(name, file_name_character))
					TRY(_fault(Kind::FILE_NAME, {}, TRY(_path(directory, name))));
				uint32_t &number = TRY(known.at(name));
				if (number != NONE) continue;
				number = all.size();
				TRY(all.push_back({directory, name}));
			}
		}
		std::ranges::sort(all, {}, &Policy_file::name);
		for (Policy_file const &file : all)
			TRY(_include(TRY(_path(file.directory, file.name)),
				purpose ? *purpose : Purpose{file.directory}, place));
		return there;
	}

	Attempt<void> _include_compat(Place place)
	{
		auto const split = [](std::string_view name) {
			size_t const plus = std::min(name.find('+'), name.size());
			return std::tuple(name.substr(0, plus), plus == name.size(), name.substr(plus));
		};
		Names names{_policy._arena};
		TRY(_list(_compat, place, names));
		// One argument before every argument.
		std::ranges::sort(names.list, {}, split);
		for (std::string_view const name : names.list) {
			// Old policies lie beside whatever an editor left there: other names are passed over.
			if (!std::ranges::all_of(name, argument_character)) continue;
			auto const [service, every, argument] = split(name);
			Purpose const purpose{_compat, service, every ? EACH : argument};
			uint32_t const file = _policy._files.size();
			TRY(_include(TRY(_path(_compat, name)), purpose, place));
			if (every || _policy._files.size() == file) continue;
			// What isn't said for one argument isn't meant to be decided by what is said for every
			// one.
			Rule deny{.service = service, .argument = argument, .place = {file, 0, 0}};
			deny.source = TRY(_token(place, {"@anyvm", 0}, Position::SOURCE));
			for (std::string_view const target : {"@anyvm", "@adminvm"}) {
				deny.target = TRY(_token(place, {target, 0}, Position::TARGET));
				TRY(_policy._rules.push_back(deny));
			}
		}
		return Ok{};
	}

	Attempt<void> _text(std::span<char> text, uint32_t file, Purpose const &purpose)
	{
		for (uint32_t number = 1; !text.empty() && !_stopped; ++number) {
			std::string_view const all(text.data(), text.size());
			size_t const end = std::min(all.find_first_of("\r\n"), all.size());
			TRY(_line(text.first(end), {file, number, 1}, purpose));
			size_t const ending = all.substr(end).starts_with("\r\n") ? 2U : end < all.size();
			text = text.subspan(end + ending);
		}
		return Ok{};
	}

	Attempt<void> _line(std::span<char> text, Place place, Purpose const &purpose)
	{
		std::string_view const line(text.data(), text.size());
		TRY(_split(line));
		if (_words.empty() || _words[0].text.starts_with('#')) return Ok{};
		place.column = _words[0].column;
		// Of the old format every letter keeps its column.
		for (size_t i = 0; purpose.old_format() && i < text.size(); ++i) {
			if (line.substr(i).starts_with(OLD_INCLUDE))
				std::ranges::copy(NEW_INCLUDE, text.subspan(i).begin());
			if (text[i] == '$') text[i] = '@';
			if (text[i] == ',') text[i] = ' ';
		}
		TRY(_split(line));
		if (_words.empty()) return _fault(Kind::TOO_FEW_FIELDS, place, "");
		if (_words[0].text.starts_with('!')) return _directive(place, purpose);
		return _rule(line, place, purpose);
	}

	Attempt<void> _split(std::string_view line)
	{
		_words.truncate(0);
		for (auto end = line.begin();;) {
			auto const begin = std::find_if_not(end, line.end(), blank);
			if (begin == line.end()) return Ok{};
			end = std::find_if(begin, line.end(), blank);
			uint32_t const column = static_cast<uint32_t>(begin - line.begin() + 1);
			TRY(_words.push_back({std::string_view(begin, end), column}));
		}
	}

	Attempt<void> _directive(Place place, Purpose const &purpose)
	{
		Word const directive = _words[0];
		auto const known = std::ranges::find(DIRECTIVES, directive.text, &Directive::name);
		if (known == DIRECTIVES.end()) return _fault(Kind::UNKNOWN_DIRECTIVE, place, directive);
		if (purpose.old_format() && directive.text != "!include")
			return _fault(Kind::NOT_IN_OLD_FORMAT, place, directive);
		if (_words.size() != known->fields) return _fault(Kind::DIRECTIVE_FIELDS, place, directive);
		place.column = _words.view().back().column;
		if (directive.text == "!compat-4.0") return _include_compat(place);
		std::string_view const path = TRY(_path(purpose.root, _words.view().back().text));
		if (directive.text == "!include") return _include(path, purpose, place);
		if (directive.text == "!include-service") {
			Purpose const inner{purpose.root, _words[1].text, _words[2].text};
			if (!TRY(_good_service(place, _words[1], _words[2]))) return Ok{};
			return _include(path, inner, place);
		}
		if (TRY(_include_all(std::span(&path, 1), &purpose, place))) return Ok{};
		return _fault(Kind::NO_DIRECTORY, place, path);
	}

	Attempt<void> _rule(std::string_view line, Place place, Purpose const &purpose)
	{
		bool const old = purpose.old_format();
		size_t const source = old ? 0 : 2;
		uint32_t const faults = _policy._faults.size();
		if (_words.size() < source + 3)
			return _fault(Kind::TOO_FEW_FIELDS, place, line.substr(place.column - 1));
		if (_policy._rules.size() >= MOST_RULES)
			return _fault(Kind::TOO_MUCH, place, _policy._files[place.file]);
		Word const service = old ? Word{purpose.service, 0} : _words[0];
		Word const argument = old ? Word{purpose.argument, 0} : _words[1];
		Rule rule{.service = service.text, .argument = argument.text, .place = place};
		TRY(_good_service(place, service, argument));
		rule.source = TRY(_token(place, _words[source], Position::SOURCE));
		rule.target = TRY(_token(place, _words[source + 1], Position::TARGET));
		TRY(_action(place, source + 2, rule));
		if (_policy._faults.size() != faults || _stopped) return Ok{};
		if (rule.action == Action::ALLOW && rule.redirect == NONE &&
			_policy._tokens[rule.target].kind == Token::Kind::DEFAULT)
			return _fault(Kind::ALLOW_WITHOUT_TARGET, place, _words[source + 2]);
		return _policy._rules.push_back(rule);
	}

	Attempt<bool> _good_service(Place place, Word const &service, Word const &argument)
	{
		bool const every = argument.text == EACH;
		uint32_t const before = _policy._faults.size();
		if (service.text != EACH && !std::ranges::all_of(service.text, service_character))
			TRY(_fault(Kind::SERVICE_CHARACTER, place, service));
		if (!every && !std::ranges::all_of(argument.text, argument_character))
			TRY(_fault(Kind::ARGUMENT_CHARACTER, place, argument));
		else if (!every && !argument.text.starts_with('+'))
			TRY(_fault(Kind::ARGUMENT_WITHOUT_PLUS, place, argument));
		else if (!every && service.text == EACH)
			TRY(_fault(Kind::ARGUMENT_OF_EVERY_SERVICE, place, argument));
		return _policy._faults.size() == before;
	}

	Attempt<void> _action(Place place, size_t first, Rule &rule)
	{
		auto const action = std::ranges::find(ACTIONS, _words[first].text);
		if (action == ACTIONS.end()) return _fault(Kind::UNKNOWN_ACTION, place, _words[first]);
		rule.action = static_cast<Action>(action - ACTIONS.begin());
		rule.notify = rule.action == Action::DENY;
		unsigned seen = 0;
		for (Word const &word : _words.view().subspan(first + 1))
			TRY(_parameter(place, word, rule, seen));
		return Ok{};
	}

	Attempt<void> _parameter(Place place, Word const &word, Rule &rule, unsigned &seen)
	{
		size_t const equals = word.text.find('=');
		if (equals == std::string_view::npos)
			return _fault(Kind::PARAMETER_WITHOUT_VALUE, place, word);
		Word const name{word.text.substr(0, equals), word.column};
		uint32_t const skipped = static_cast<uint32_t>(equals + 1);
		Word const value{word.text.substr(skipped), word.column + skipped};
		auto const known = std::ranges::find(PARAMETERS, name.text);
		if (known == PARAMETERS.end()) return _fault(Kind::UNKNOWN_PARAMETER, place, name);
		bool const denies = rule.action == Action::DENY && name.text != "notify";
		bool const allows = rule.action == Action::ALLOW && name.text == "default_target";
		if (denies || allows) return _fault(Kind::PARAMETER_OF_OTHER_ACTION, place, name);
		unsigned const bit = 1U << (known - PARAMETERS.begin());
		if (seen & bit) return _fault(Kind::REPEATED_PARAMETER, place, name);
		seen |= bit;
		if (name.text == "user")
			rule.user = value.text;
		else if (name.text == "target")
			rule.redirect = TRY(_token(place, value, Position::REDIRECT));
		else if (name.text == "default_target")
			rule.default_target = TRY(_token(place, value, Position::REDIRECT));
		else {
			if (value.text != "yes" && value.text != "no")
				return _fault(Kind::NOT_YES_OR_NO, place, value);
			(name.text == "notify" ? rule.notify : rule.autostart) = value.text == "yes";
		}
		return Ok{};
	}

	/* The number of a token, or NONE after a fault. */
	Attempt<uint32_t> _token(Place place, Word const &word, Position position)
	{
		auto const parsed = parse_token(word.text, position);
		if (!parsed.ok()) {
			TRY(_fault(parsed.error(), place, word));
			return NONE;
		}
		Token const &token = parsed.value();
		uint32_t &number = TRY(_policy._numbers.at(token.text));
		if (number == NONE) {
			number = _policy._tokens.size();
			TRY(_policy._tokens.push_back(token));
		}
		return number;
	}

public:
	Loader(Policy &policy, Files &files, std::string_view compat)
		: _policy(policy), _files(files), _compat(compat)
	{}

	Attempt<void> load(
		std::span<std::string_view const> directories, std::optional<std::string_view> file)
	{
		std::string_view const last = directories.empty() ? "" : directories.back();
		if (file)
			TRY(_include(TRY(_path(directories[0], *file)), {directories[0]}, {}));
		else if (!TRY(_include_all(directories, nullptr, {})))
			TRY(_fault(Kind::NO_POLICY, {}, last));
		if (_policy.broken()) _policy._rules.truncate(0);
		for (uint32_t i = _policy._rules.size(); i-- > 0;) {
			Rule &rule = _policy._rules[i];
			rule.next = std::exchange(TRY(_policy._first.at(rule.service, rule.argument)), i);
		}
		return Ok{};
	}
};

Attempt<Owned<Policy>> Policy::load(Allocator &allocator, Files &files,
	std::span<std::string_view const> directories, std::string_view compat,
	std::optional<std::string_view> file)
{
	Owned<Policy> policy = TRY(create_owned<Policy>(allocator, allocator));
	TRY(Loader(*policy, files, compat).load(directories, file));
	return policy;
}

} // namespace bulkhead::policy
