#include "rpc/policy/text/fault_text.h"

#include <algorithm>
#include <array>

namespace bulkhead::policy {

namespace {

struct Words
{
	std::string_view before;
	std::string_view after;
	std::string_view remedy;
};

constexpr std::string_view NAME_CHARACTERS = "use letters, digits and . _ - only";

constexpr std::string_view SOURCES =
	"a source is a name, uuid:UUID, @adminvm, @anyvm, *, @tag:TAG, @type:TYPE, @dispvm:NAME or "
	"@dispvm:@tag:TAG";
constexpr std::string_view TARGETS =
	"a target is a name, uuid:UUID, @adminvm, @anyvm, *, @tag:TAG, @type:TYPE, @default, @dispvm, "
	"@dispvm:NAME or @dispvm:@tag:TAG";
constexpr std::string_view REDIRECTS =
	"name one domain: a name, uuid:UUID, @adminvm, @dispvm or @dispvm:NAME";

Words rule_words(Fault::Kind kind)
{
	using Kind = Fault::Kind;
	switch (kind) {
	case Kind::TOO_FEW_FIELDS:
		return {"too few fields", "",
			"write: service argument source target action [parameter=value ...]"};
	case Kind::SERVICE_CHARACTER:
		return {"the service '", "' has a character that no service has", NAME_CHARACTERS};
	case Kind::ARGUMENT_CHARACTER:
		return {"the argument '", "' has a character that no argument has",
			"use letters, digits and + . _ - only"};
	case Kind::ARGUMENT_WITHOUT_PLUS:
		return {"the argument '", "' doesn't begin with +",
			"write +ARGUMENT for one argument, + for none, * for every one"};
	case Kind::ARGUMENT_OF_EVERY_SERVICE:
		return {"every service (*) with the one argument '", "'",
			"write * * for every service, or name the service"};
	case Kind::UNKNOWN_SOURCE: return {"there is no source '", "'", SOURCES};
	case Kind::UNKNOWN_TARGET: return {"there is no target '", "'", TARGETS};
	case Kind::UNKNOWN_REDIRECT: return {"there is no domain '", "'", REDIRECTS};
	case Kind::SOURCE_NOT_HERE: return {"'", "' can't be a source", SOURCES};
	case Kind::TARGET_NOT_HERE: return {"'", "' can't be a target", TARGETS};
	case Kind::REDIRECT_NOT_HERE: return {"'", "' names more than one domain, or none", REDIRECTS};
	case Kind::EMPTY_TOKEN: return {"nothing follows in '", "'", "write a name behind it"};
	case Kind::UNKNOWN_ACTION:
		return {"there is no action '", "'", "an action is allow, deny or ask"};
	case Kind::PARAMETER_WITHOUT_VALUE:
		return {"'", "' is no parameter",
			"write NAME=VALUE without blanks; a comment needs a line of its own"};
	case Kind::UNKNOWN_PARAMETER:
		return {"there is no parameter '", "'",
			"there are target, default_target, user, notify and autostart"};
	case Kind::PARAMETER_OF_OTHER_ACTION:
		return {"the action doesn't take '", "'",
			"allow takes target, user, notify, autostart; ask also default_target; deny only "
			"notify"};
	case Kind::REPEATED_PARAMETER:
		return {"the parameter '", "' is given twice", "keep one of them"};
	case Kind::NOT_YES_OR_NO: return {"'", "' is neither yes nor no", "write yes or no"};
	case Kind::ALLOW_WITHOUT_TARGET:
		return {"allow for @default without a target", "", "say where the call goes: target=NAME"};
	default: return {};
	}
}

Words file_words(Fault::Kind kind)
{
	using Kind = Fault::Kind;
	switch (kind) {
	case Kind::UNKNOWN_DIRECTIVE:
		return {"there is no directive '", "'",
			"there are !include, !include-dir, !include-service and !compat-4.0"};
	case Kind::DIRECTIVE_FIELDS:
		return {"wrong number of fields behind ", "",
			"write !include FILE, !include-dir DIRECTORY, !include-service SERVICE ARGUMENT FILE "
			"or !compat-4.0"};
	case Kind::NOT_IN_OLD_FORMAT:
		return {"'", "' isn't possible in a file of the old format",
			"only $include:FILE or !include FILE is"};
	case Kind::NO_FILE: return {"there is no file '", "'", "make the file, or remove the line"};
	case Kind::NO_DIRECTORY:
		return {"there is no directory '", "'", "make the directory, or remove the line"};
	case Kind::UNREADABLE:
		return {"'", "' can't be read", "look at its permissions, and at the disk"};
	case Kind::INCLUDES_ITSELF:
		return {"'", "' is being read already: it includes itself", "remove one of the includes"};
	case Kind::TOO_DEEP:
		return {
			"'", "' is included by too many files within each other", "include at most 32 deep"};
	case Kind::TOO_MUCH:
		return {"the policy is too large at '", "'",
			"a policy has at most 200,000 rules in 20,000 files, and 64 MiB of text"};
	case Kind::FILE_NAME:
		return {"'", "' isn't a name for a policy file",
			"use lower-case letters, digits and . _ - only; or let the name not end in .policy"};
	case Kind::NO_POLICY:
		return {"there is no policy: no directory '", "'", "make it, with a file of rules"};
	default: return {};
	}
}

Words words_of(Fault::Kind kind)
{
	return kind < Fault::Kind::UNKNOWN_DIRECTIVE ? rule_words(kind) : file_words(kind);
}

constexpr size_t LONGEST = 32;

/* How many letters are wrong, missing, too many or exchanged with their neighbour. */
size_t distance(std::string_view a, std::string_view b)
{
	std::array<std::array<size_t, LONGEST + 1>, 3> rows{};
	for (size_t j = 0; j <= b.size(); ++j) rows[1][j] = j;
	for (size_t i = 1; i <= a.size(); ++i) {
		rows[2][0] = i;
		for (size_t j = 1; j <= b.size(); ++j) {
			size_t const changed = rows[1][j - 1] + (a[i - 1] != b[j - 1]);
			rows[2][j] = std::min({changed, rows[1][j] + 1, rows[2][j - 1] + 1});
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				rows[2][j] = std::min(rows[2][j], rows[0][j - 2] + 1);
		}
		rows[0] = rows[1];
		rows[1] = rows[2];
	}
	return rows[1][b.size()];
}

/* The word up to and with its last colon, which is the part that may be misspelt. */
std::string_view keyword_of(std::string_view token)
{
	size_t const colon = token.rfind(':');
	return colon == std::string_view::npos ? token : token.substr(0, colon + 1);
}

/* The word that `wrong` comes near, or none. */
std::string_view nearest(std::string_view wrong, std::span<std::string_view const> words)
{
	if (wrong.size() > LONGEST) return {};
	std::string_view best;
	size_t least = 1 + std::min<size_t>(2, wrong.size() / 3);
	for (std::string_view const word : words) {
		if (word.size() > LONGEST) continue;
		size_t const wrongs = distance(wrong, word);
		if (wrongs >= least) continue;
		least = wrongs;
		best = word;
	}
	return best;
}

/* What may have been meant, or nothing. */
std::string_view suggestion(Fault const &fault)
{
	using Kind = Fault::Kind;
	static constexpr std::array<std::string_view, 5> PARAMETERS{
		"target", "default_target", "user", "notify", "autostart"};
	static constexpr std::array<std::string_view, 2> BOOLEANS{"yes", "no"};
	static constexpr std::array<std::string_view, 4> DIRECTIVES{
		"!include", "!include-dir", "!include-service", "!compat-4.0"};
	static constexpr std::array<std::string_view, 8> WORDS{"@adminvm", "@anyvm", "@default",
		"@dispvm", "@dispvm:", "@dispvm:@tag:", "@tag:", "@type:"};
	switch (fault.kind) {
	case Kind::UNKNOWN_ACTION: return nearest(fault.subject, ACTIONS);
	case Kind::UNKNOWN_PARAMETER: return nearest(fault.subject, PARAMETERS);
	case Kind::NOT_YES_OR_NO: return nearest(fault.subject, BOOLEANS);
	case Kind::UNKNOWN_DIRECTIVE: return nearest(fault.subject, DIRECTIVES);
	case Kind::UNKNOWN_SOURCE:
	case Kind::UNKNOWN_TARGET:
	case Kind::UNKNOWN_REDIRECT: return nearest(keyword_of(fault.subject), WORDS);
	default: return {};
	}
}

} // namespace

void write_message(Text_writer &to, Fault const &fault)
{
	Words const words = words_of(fault.kind);
	to.put(words.before);
	bool const quoted = !words.before.empty() && !words.after.empty();
	if (quoted || fault.kind == Fault::Kind::DIRECTIVE_FIELDS) to.put(fault.subject);
	to.put(words.after);
}

void write_remedy(Text_writer &to, Fault const &fault)
{
	if (std::string_view const meant = suggestion(fault); !meant.empty())
		format_all(to, "did you mean '", meant, "'?");
	else
		to.put(words_of(fault.kind).remedy);
}

} // namespace bulkhead::policy
