#include "rpc/policy/loader.h"

#include <algorithm>
#include <array>

namespace bulkhead::policy {

namespace {

using Kind = Fault::Kind;

constexpr size_t MOST_FAULTS = 10'000;
constexpr std::string_view SUFFIX = ".policy";
constexpr std::string_view OLD_INCLUDE = "$include:";
constexpr std::string_view NEW_INCLUDE = "!include ";

constexpr bool letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr bool service_character(char c)
{
	return letter_or_digit(c) || c == '.' || c == '_' || c == '-';
}

constexpr bool argument_character(char c) { return service_character(c) || c == '+'; }

constexpr bool file_name_character(char c)
{
	return service_character(c) && !(c >= 'A' && c <= 'Z');
}

// The separators of ASCII count, as they do upstream.
constexpr bool blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
}

constexpr std::array<std::string_view, 3> ACTIONS{"allow", "deny", "ask"};
constexpr std::array<std::string_view, 5> PARAMETERS{
	"target", "default_target", "user", "notify", "autostart"};
constexpr std::array<std::string_view, 2> BOOLEANS{"yes", "no"};
constexpr std::array<std::string_view, 4> DIRECTIVES{
	"!include", "!include-dir", "!include-service", "!compat-4.0"};
constexpr std::array<std::string_view, 8> WORDS{
	"@adminvm", "@anyvm", "@default", "@dispvm", "@dispvm:", "@dispvm:@tag:", "@tag:", "@type:"};

struct Sink final : Names
{
	Arena &arena;
	Growing_list<std::string_view> list;

	explicit Sink(Arena &memory) : arena(memory), list(memory.allocator()) {}

	Attempt<void> name(std::string_view name) override
	{
		if (list.size() >= MOST_FILES) return Error::TOO_LONG;
		return list.push_back(TRY(arena.text(name)));
	}
};

/* The word up to and with its last colon, which is the part that may be misspelt. */
std::string_view keyword_of(std::string_view token)
{
	size_t const colon = token.rfind(':');
	return colon == std::string_view::npos ? token : token.substr(0, colon + 1);
}

Kind fault_of(Token_fault fault, Position position)
{
	if (fault == Token_fault::EMPTY) return Kind::EMPTY_TOKEN;
	bool const unknown = fault == Token_fault::UNKNOWN;
	switch (position) {
	case Position::SOURCE: return unknown ? Kind::UNKNOWN_SOURCE : Kind::SOURCE_NOT_HERE;
	case Position::TARGET: return unknown ? Kind::UNKNOWN_TARGET : Kind::TARGET_NOT_HERE;
	default: return unknown ? Kind::UNKNOWN_REDIRECT : Kind::REDIRECT_NOT_HERE;
	}
}

} // namespace

Loader::Loader(Policy &policy, Files &files, std::string_view compat)
	: _policy(policy),
	  _files(files),
	  _compat(compat),
	  _file_names(policy._arena.allocator()),
	  _open(policy._arena.allocator()),
	  _rules(policy._arena.allocator()),
	  _faults(policy._arena.allocator()),
	  _sources(policy._arena.allocator()),
	  _targets(policy._arena.allocator()),
	  _words(policy._arena.allocator())
{}

Attempt<void> Loader::_fault(
	Kind kind, Place place, std::string_view subject, std::string_view suggestion)
{
	if (_stopped) return Ok{};
	if (_faults.size() >= MOST_FAULTS || kind == Kind::TOO_MUCH) _stopped = true;
	return _faults.push_back({kind, place, subject, suggestion});
}

Attempt<void> Loader::_fault(
	Kind kind, Place line, Word const &word, std::span<std::string_view const> meant)
{
	return _fault(kind, {line.file, line.line, word.column}, word.text, nearest(word.text, meant));
}

/* Joins a path to the directory that it is relative to; leaves out what means nothing. */
Attempt<std::string_view> Loader::_path(std::string_view root, std::string_view path)
{
	bool const absolute = path.starts_with('/');
	std::string_view const before = absolute ? std::string_view() : root;
	std::span<char> const to = TRY(_policy._arena.array<char>(before.size() + path.size() + 2));
	Text_writer writer(to);
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

/* The files of a directory: of policies those that count, sorted; else all of them. */
Attempt<void> Loader::_names_in(
	std::string_view directory, Place place, Growing_list<Word> &names, bool policies, bool &there)
{
	Sink sink(_policy._arena);
	auto const listed = _files.list(directory, sink);
	there = listed.ok();
	if (!there) {
		if (listed.error() == Error::OUT_OF_MEMORY) return Error::OUT_OF_MEMORY;
		if (listed.error() == Error::NOT_FOUND) return Ok{};
		bool const many = listed.error() == Error::TOO_LONG;
		return _fault(many ? Kind::TOO_MUCH : Kind::UNREADABLE, place, directory);
	}
	std::sort(sink.list.begin(), sink.list.end());
	for (std::string_view const name : sink.list) {
		if (policies && (!name.ends_with(SUFFIX) || name.starts_with('.'))) continue;
		std::string_view const path = TRY(_path(directory, name));
		if (policies && !std::ranges::all_of(name, file_name_character))
			TRY(_fault(Kind::FILE_NAME, {NONE, 0, 0}, path));
		// A word's text is the path, its column says where the name begins.
		TRY(names.push_back({path, static_cast<uint32_t>(path.size() - name.size())}));
	}
	return Ok{};
}

Attempt<void> Loader::_include(std::string_view path, Purpose const &purpose, Place place)
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
	if (_file_names.size() >= MOST_FILES || read.value().size() > MOST_TEXT_BYTES - _text_bytes)
		return _fault(Kind::TOO_MUCH, place, path);
	_text_bytes += read.value().size();
	std::string_view const text = TRY(_policy._arena.text(read.value()));
	uint32_t const file = static_cast<uint32_t>(_file_names.size());
	TRY(_file_names.push_back(path));
	TRY(_open.push_back(path));
	TRY(_text(text, file, purpose));
	_open.truncate(_open.size() - 1);
	return Ok{};
}

Attempt<void> Loader::_include_directory(std::string_view path, Purpose const &purpose, Place place)
{
	Growing_list<Word> names(_policy._arena.allocator());
	bool there = false;
	size_t const faults = _faults.size();
	TRY(_names_in(path, place, names, true, there));
	if (!there && _faults.size() == faults) return _fault(Kind::NO_DIRECTORY, place, path);
	for (Word const &name : names) TRY(_include(name.text, purpose, place));
	return Ok{};
}

Attempt<void> Loader::_include_compat(Place place)
{
	Growing_list<Word> names(_policy._arena.allocator());
	Growing_list<Compat_file> files(_policy._arena.allocator());
	bool there = false;
	TRY(_names_in(TRY(_policy._arena.text(_compat)), place, names, false, there));
	for (Word const &path : names) {
		std::string_view const name = path.text.substr(path.column);
		// Old policies lie beside whatever an editor left there: other names are passed over.
		if (!std::ranges::all_of(name, argument_character)) continue;
		size_t const plus = std::min(name.find('+'), name.size());
		TRY(files.push_back({path.text, name.substr(0, plus), name.substr(plus)}));
	}
	std::sort(files.begin(), files.end(), [](Compat_file const &a, Compat_file const &b) {
		if (a.service != b.service) return a.service < b.service;
		if (a.argument.empty() || b.argument.empty()) return b.argument.empty() && a.name != b.name;
		return a.argument < b.argument;
	});
	for (Compat_file const &file : files) TRY(_compat_file(file, place));
	return Ok{};
}

Attempt<void> Loader::_compat_file(Compat_file const &file, Place place)
{
	std::string_view const argument = file.argument.empty() ? "*" : file.argument;
	Purpose const purpose{_compat, true, {file.service, 1}, {argument, 1}};
	uint32_t const number = static_cast<uint32_t>(_file_names.size());
	TRY(_include(file.name, purpose, place));
	if (file.argument.empty() || _stopped || _file_names.size() == number) return Ok{};
	return _implicit_denies(number, purpose);
}

/* What isn't said for one argument isn't meant to be decided by what is said for every one. */
Attempt<void> Loader::_implicit_denies(uint32_t file, Purpose const &purpose)
{
	for (std::string_view const target : {"@anyvm", "@adminvm"}) {
		Rule rule;
		rule.place = {file, 0, 0};
		if (!TRY(_service_and_argument(rule.place, purpose.service, purpose.argument, rule)))
			return Ok{};
		rule.source = TRY(_token(rule.place, {"@anyvm", 0}, Position::SOURCE));
		rule.target = TRY(_token(rule.place, {target, 0}, Position::TARGET));
		TRY(_rules.push_back(rule));
	}
	return Ok{};
}

Attempt<void> Loader::_text(std::string_view text, uint32_t file, Purpose const &purpose)
{
	for (uint32_t number = 1; !text.empty() && !_stopped; ++number) {
		size_t const end = std::min(text.find_first_of("\r\n"), text.size());
		TRY(_line(text.substr(0, end), {file, number, 1}, purpose));
		text.remove_prefix(end);
		if (text.starts_with("\r\n"))
			text.remove_prefix(2);
		else if (!text.empty())
			text.remove_prefix(1);
	}
	return Ok{};
}

Attempt<void> Loader::_line(std::string_view line, Place place, Purpose const &purpose)
{
	size_t begin = 0;
	while (begin < line.size() && blank(line[begin])) ++begin;
	if (begin == line.size() || line[begin] == '#') return Ok{};
	if (purpose.old_format) {
		// Every letter keeps its column.
		std::span<char> const copy = TRY(_policy._arena.copy(std::span<char const>(line)));
		for (size_t i = 0; i < copy.size(); ++i) {
			if (line.substr(i).starts_with(OLD_INCLUDE))
				std::ranges::copy(NEW_INCLUDE, copy.begin() + static_cast<ptrdiff_t>(i));
			if (copy[i] == '$') copy[i] = '@';
			if (copy[i] == ',') copy[i] = ' ';
		}
		line = {copy.data(), copy.size()};
	}
	TRY(_split(line));
	place.column = static_cast<uint32_t>(begin + 1);
	if (_words.empty()) return _fault(Kind::TOO_FEW_FIELDS, place, "");
	if (_words[0].text.starts_with('!')) return _directive(place, purpose);
	return _rule(line, place, purpose);
}

Attempt<void> Loader::_split(std::string_view line)
{
	_words.truncate(0);
	for (size_t at = 0; at < line.size();) {
		if (blank(line[at])) {
			++at;
			continue;
		}
		size_t end = at;
		while (end < line.size() && !blank(line[end])) ++end;
		TRY(_words.push_back({line.substr(at, end - at), static_cast<uint32_t>(at + 1)}));
		at = end;
	}
	return Ok{};
}

Attempt<void> Loader::_directive(Place place, Purpose const &purpose)
{
	Word const directive = _words[0];
	auto const known = std::ranges::find(DIRECTIVES, directive.text);
	if (known == DIRECTIVES.end())
		return _fault(Kind::UNKNOWN_DIRECTIVE, place, directive, DIRECTIVES);
	if (purpose.old_format && directive.text != "!include")
		return _fault(Kind::NOT_IN_OLD_FORMAT, place, directive);
	constexpr std::array<size_t, DIRECTIVES.size()> FIELDS{2, 2, 4, 1};
	if (_words.size() != FIELDS[static_cast<size_t>(known - DIRECTIVES.begin())])
		return _fault(Kind::DIRECTIVE_FIELDS, place, directive);
	place.column = _words.back().column;
	if (directive.text == "!compat-4.0") return _include_compat(place);
	if (directive.text == "!include-service") return _include_service(place, purpose);
	std::string_view const path = TRY(_path(purpose.root, _words[1].text));
	if (directive.text == "!include-dir") return _include_directory(path, purpose, place);
	return _include(path, purpose, place);
}

Attempt<void> Loader::_include_service(Place place, Purpose const &purpose)
{
	Rule checked;
	Purpose const inner{purpose.root, true, _words[1], _words[2]};
	std::string_view const path = TRY(_path(purpose.root, _words[3].text));
	if (!TRY(_service_and_argument(place, inner.service, inner.argument, checked))) return Ok{};
	return _include(path, inner, place);
}

Attempt<void> Loader::_rule(std::string_view line, Place place, Purpose const &purpose)
{
	size_t const source = purpose.old_format ? 0 : 2;
	if (_words.size() < source + 3)
		return _fault(Kind::TOO_FEW_FIELDS, place, line.substr(place.column - 1));
	if (_rules.size() >= MOST_RULES) return _fault(Kind::TOO_MUCH, place, _file_names[place.file]);
	Rule rule;
	rule.place = place;
	Word const service = purpose.old_format ? purpose.service : _words[0];
	Word const argument = purpose.old_format ? purpose.argument : _words[1];
	bool good = TRY(_service_and_argument(place, service, argument, rule));
	rule.source = TRY(_token(place, _words[source], Position::SOURCE));
	rule.target = TRY(_token(place, _words[source + 1], Position::TARGET));
	good = TRY(_action(place, source + 2, rule)) && good;
	if (!good || rule.source == NONE || rule.target == NONE) return Ok{};
	if (rule.action == Action::ALLOW && rule.redirect == NONE &&
		_targets[rule.target].kind == Token::Kind::DEFAULT)
		return _fault(Kind::ALLOW_WITHOUT_TARGET, place, _words[source + 2]);
	return _rules.push_back(rule);
}

Attempt<bool> Loader::_service_and_argument(Place place, Word service, Word argument, Rule &rule)
{
	rule.any_service = service.text == "*";
	rule.any_argument = argument.text == "*";
	if (!rule.any_service) rule.service = service.text;
	if (!rule.any_argument) rule.argument = argument.text;
	size_t const faults = _faults.size();
	if (!std::ranges::all_of(rule.service, service_character))
		TRY(_fault(Kind::SERVICE_CHARACTER, place, service));
	if (!std::ranges::all_of(rule.argument, argument_character))
		TRY(_fault(Kind::ARGUMENT_CHARACTER, place, argument));
	else if (!rule.any_argument && !rule.argument.starts_with('+'))
		TRY(_fault(Kind::ARGUMENT_WITHOUT_PLUS, place, argument));
	else if (rule.any_service && !rule.any_argument)
		TRY(_fault(Kind::ARGUMENT_OF_EVERY_SERVICE, place, argument));
	return _faults.size() == faults;
}

Attempt<bool> Loader::_action(Place place, size_t first, Rule &rule)
{
	Word const action = _words[first];
	if (action.text == "allow")
		rule.action = Action::ALLOW;
	else if (action.text == "ask")
		rule.action = Action::ASK;
	else if (action.text != "deny") {
		TRY(_fault(Kind::UNKNOWN_ACTION, place, action, ACTIONS));
		return false;
	}
	rule.notify = rule.action == Action::DENY;
	bool good = true;
	unsigned seen = 0;
	for (size_t i = first + 1; i < _words.size(); ++i)
		good = TRY(_parameter(place, _words[i], rule, seen)) && good;
	return good;
}

Attempt<bool> Loader::_parameter(Place place, Word word, Rule &rule, unsigned &seen)
{
	size_t const equals = word.text.find('=');
	Word const name{word.text.substr(0, equals), word.column};
	auto const known = std::ranges::find(PARAMETERS, name.text);
	Kind fault = Kind::PARAMETER_WITHOUT_VALUE;
	if (equals != std::string_view::npos) {
		size_t const index = static_cast<size_t>(known - PARAMETERS.begin());
		bool const denies = rule.action == Action::DENY && name.text != "notify";
		bool const allows = rule.action == Action::ALLOW && name.text == "default_target";
		fault = Kind::REPEATED_PARAMETER;
		if (known == PARAMETERS.end()) {
			TRY(_fault(Kind::UNKNOWN_PARAMETER, place, name, PARAMETERS));
			return false;
		}
		if (denies || allows) {
			TRY(_fault(Kind::PARAMETER_OF_OTHER_ACTION, place, name));
			return false;
		}
		if (!(seen & 1U << index)) {
			seen |= 1U << index;
			uint32_t const skipped = static_cast<uint32_t>(equals + 1);
			Word const value{word.text.substr(skipped), word.column + skipped};
			if (name.text == "notify") return _yes_or_no(place, value, rule.notify);
			if (name.text == "autostart") return _yes_or_no(place, value, rule.autostart);
			if (name.text == "user") {
				rule.user = value.text;
				rule.has_user = true;
				return true;
			}
			uint32_t &to = name.text == "target" ? rule.redirect : rule.default_target;
			to = TRY(_token(place, value, Position::REDIRECT));
			return to != NONE;
		}
	}
	TRY(_fault(fault, place, fault == Kind::REPEATED_PARAMETER ? name : word));
	return false;
}

Attempt<bool> Loader::_yes_or_no(Place place, Word value, bool &to)
{
	to = value.text == "yes";
	if (to || value.text == "no") return true;
	TRY(_fault(Kind::NOT_YES_OR_NO, place, value, BOOLEANS));
	return false;
}

/* The number of a token, or NONE after a fault. */
Attempt<uint32_t> Loader::_token(Place place, Word word, Position position)
{
	Token_result const parsed = parse_token(word.text, position);
	if (parsed.fault == Token_fault::OK) return _intern(parsed.token, position);
	std::string_view const meant =
		parsed.fault == Token_fault::UNKNOWN ? nearest(keyword_of(word.text), WORDS) : "";
	Kind const kind = fault_of(parsed.fault, position);
	TRY(_fault(kind, {place.file, place.line, word.column}, word.text, meant));
	return NONE;
}

Attempt<uint32_t> Loader::_intern(Token const &token, Position position)
{
	bool const source = position == Position::SOURCE;
	Growing_list<Token> &tokens = source ? _sources : _targets;
	Text_table &ids = source ? _policy._source_ids : _policy._target_ids;
	uint32_t const next = static_cast<uint32_t>(tokens.size());
	uint32_t const id = TRY(ids.insert(token.text, next));
	if (id == next) TRY(tokens.push_back(token));
	return id;
}

Attempt<void> Loader::_finish()
{
	Arena &arena = _policy._arena;
	_policy._files = TRY(arena.copy(_file_names.view()));
	_policy._faults = TRY(arena.copy(_faults.view()));
	_policy._sources = TRY(arena.copy(_sources.view()));
	_policy._targets = TRY(arena.copy(_targets.view()));
	if (_faults.empty()) _policy._rules = TRY(arena.copy(_rules.view()));
	return Ok{};
}

Attempt<void> Loader::load(std::span<std::string_view const> directories)
{
	auto const name_of = [](Word const &path) { return path.text.substr(path.column); };
	auto const before = [&](Word const &a, Word const &b) { return name_of(a) < name_of(b); };
	Growing_list<Word> all(_policy._arena.allocator());
	std::string_view last;
	bool any = false;
	for (std::string_view const directory : directories) {
		Growing_list<Word> names(_policy._arena.allocator());
		size_t const known = all.size();
		bool there = false;
		last = TRY(_policy._arena.text(directory));
		TRY(_names_in(last, {}, names, true, there));
		any = any || there;
		for (Word const &path : names)
			if (!std::binary_search(all.begin(), all.begin() + known, path, before))
				TRY(all.push_back(path));
		std::sort(all.begin(), all.end(), before);
	}
	if (!any && _faults.empty()) TRY(_fault(Kind::NO_POLICY, {}, last));
	for (Word const &path : all) {
		std::string_view const root = path.text.substr(0, path.column ? path.column - 1 : 0);
		TRY(_include(path.text, {root}, {}));
	}
	return _finish();
}

Attempt<void> Loader::load_file(std::string_view directory, std::string_view name)
{
	std::string_view const path = TRY(_path(TRY(_policy._arena.text(directory)), name));
	TRY(_include(path, {directory}, {}));
	return _finish();
}

} // namespace bulkhead::policy
