// The tables in test/cases: what the language says, case by case.

#include "rpc/policy/test/support.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace bulkhead::policy::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> lines_of(char const *name)
{
	std::ifstream file(fs::path(BULKHEAD_SOURCE_DIR) / "rpc/policy/test/cases" / name);
	std::vector<std::string> lines;
	for (std::string line; std::getline(file, line);) {
		if (line.starts_with('#')) continue;
		for (size_t at = 0; (at = line.find('%', at)) != std::string::npos;) {
			size_t end = at + 1;
			while (end < line.size() && isdigit(static_cast<unsigned char>(line[end]))) ++end;
			unsigned const number = static_cast<unsigned>(std::stoi(line.substr(at + 1)));
			line.replace(
				at, end - at, number ? "uuid:" + uuid_of(number) : std::string(ADMIN_UUID));
		}
		lines.push_back(line);
	}
	return lines;
}

std::string_view name_of_kind(Fault::Kind kind)
{
	using Kind = Fault::Kind;
	switch (kind) {
#define NAME(x) \
	case Kind::x: return #x
		NAME(TOO_FEW_FIELDS);
		NAME(SERVICE_CHARACTER);
		NAME(ARGUMENT_CHARACTER);
		NAME(ARGUMENT_WITHOUT_PLUS);
		NAME(ARGUMENT_OF_EVERY_SERVICE);
		NAME(UNKNOWN_SOURCE);
		NAME(UNKNOWN_TARGET);
		NAME(UNKNOWN_REDIRECT);
		NAME(SOURCE_NOT_HERE);
		NAME(TARGET_NOT_HERE);
		NAME(REDIRECT_NOT_HERE);
		NAME(EMPTY_TOKEN);
		NAME(UNKNOWN_ACTION);
		NAME(PARAMETER_WITHOUT_VALUE);
		NAME(UNKNOWN_PARAMETER);
		NAME(PARAMETER_OF_OTHER_ACTION);
		NAME(REPEATED_PARAMETER);
		NAME(NOT_YES_OR_NO);
		NAME(ALLOW_WITHOUT_TARGET);
		NAME(UNKNOWN_DIRECTIVE);
		NAME(DIRECTIVE_FIELDS);
		NAME(NOT_IN_OLD_FORMAT);
		NAME(NO_FILE);
		NAME(NO_DIRECTORY);
		NAME(UNREADABLE);
		NAME(INCLUDES_ITSELF);
		NAME(TOO_DEEP);
		NAME(TOO_MUCH);
		NAME(FILE_NAME);
		NAME(NO_POLICY);
#undef NAME
	}
	return "?";
}

/* One policy and what it decides about the standard domains. */
class World
{
private:
	Heap _heap{};
	std::vector<Described> _domains = standard_domains();
	Owned<Policy> _policy{};
	Owned<System> _system{};
	Owned<Asker> _asker{};

public:
	explicit World(Memory_files &files)
	{
		constexpr std::array<std::string_view, 2> DIRECTORIES{"/run/p", "/etc/p"};
		_policy = Policy::load(_heap, files, DIRECTORIES, "/compat").value();
		_system = System::create(_heap, descriptions(_domains)).value();
		_asker = Asker::create(_heap, *_policy, *_system).value();
	}

	Policy const &policy() const { return *_policy; }

	std::string decide(Request const &request, uint32_t &line)
	{
		Verdict const verdict = _asker->evaluate(request);
		line = verdict.rule == NONE ? 0 : _policy->rules()[verdict.rule].place.line;
		return line_of(*_asker, verdict);
	}

	std::vector<std::string> faults() const
	{
		std::vector<std::string> result;
		for (Fault const &fault : _policy->faults()) {
			std::ostringstream text;
			text << fault.place.line << ':' << fault.place.column << ' '
				 << name_of_kind(fault.kind);
			result.push_back(text.str());
		}
		return result;
	}
};

World world_of(std::string const &text)
{
	Memory_files files;
	files.texts["/etc/p/30.policy"] = text;
	return World(files);
}

struct Word_line
{
	std::string what, word, caller = "work";
	std::vector<std::string> yes{}, no{};

	explicit Word_line(std::string const &line)
	{
		std::istringstream words(line);
		words >> what >> word;
		std::vector<std::string> *to = &yes;
		for (std::string next; words >> next;) {
			if (next == "from")
				words >> caller;
			else if (next == "not")
				to = &no;
			else if (next != "matches")
				to->push_back(next == "-" ? "" : next);
		}
	}
};

std::string rule_with(std::string const &place, std::string const &word)
{
	if (place == "source") return "svc * " + word + " * deny\n";
	if (place == "target") return "svc * * " + word + " deny\n";
	if (place == "deny-target") return "svc * * " + word + " deny\n";
	if (place == "allow-target") return "svc * * " + word + " allow\n";
	if (place == "ask-target") return "svc * * " + word + " ask\n";
	if (place == "redirect") return "svc * * * allow target=" + word + "\n";
	if (place == "default_target") return "svc * * * ask default_target=" + word + "\n";
	if (place == "service") return word + " * * * deny\n";
	return "svc " + word + " * * deny\n";
}

/* A rule that denies quietly what the word matches; all else is denied by no rule, and loudly. */
void try_matches(Word_line const &line, size_t &cases)
{
	bool const source = line.what == "source";
	World world =
		world_of("svc * " + (source ? line.word + " *" : "* " + line.word) + " deny notify=no\n");
	auto const decide = [&](std::string const &other) {
		uint32_t ignored = 0;
		++cases;
		return world.decide({.service = "svc",
								.source = source ? other : line.caller,
								.target = source ? "web" : other},
			ignored);
	};
	for (std::string const &other : line.yes)
		EXPECT_EQ(decide(other), "deny quietly") << line.what << " " << line.word << ": " << other;
	for (std::string const &other : line.no)
		EXPECT_EQ(decide(other), "deny") << line.what << " " << line.word << ": " << other;
}

TEST(Policy_words, stand_where_the_language_lets_them_and_match_what_it_says)
{
	size_t cases = 0;
	for (std::string const &text : lines_of("words.txt")) {
		if (text.empty()) continue;
		if (!text.starts_with("valid") && !text.starts_with("invalid")) {
			try_matches(Word_line(text), cases);
			continue;
		}
		std::istringstream words(text);
		std::string verdict, place;
		words >> verdict >> place;
		for (std::string word; words >> word; ++cases) {
			World const world = world_of(rule_with(place, word));
			EXPECT_EQ(world.policy().faults().size(), verdict == "valid" ? 0 : 1)
				<< place << " " << word;
		}
	}
	EXPECT_GT(cases, 380);
}

/* A behaviour and what is expected of it. */
struct Section
{
	std::string title;
	Memory_files files{};
	std::string *file = nullptr;
	std::vector<std::string> faults{}, requests{};

	void take(std::string const &line)
	{
		if (line[0] == '@') {
			std::string name = line.substr(2);
			std::string directory = "/etc/p/";
			for (std::string const other : {"run", "compat"}) {
				if (!name.starts_with(other + " ")) continue;
				directory = other == "run" ? "/run/p/" : "/compat/";
				name = name.substr(other.size() + 1);
			}
			file = &files.texts[directory + name];
		}
		if (line[0] == '!') faults.push_back(line.substr(2));
		if (line[0] == '?') requests.push_back(line.substr(2));
		if (line[0] != '|') return;
		if (!file) file = &files.texts["/etc/p/30.policy"];
		*file += line.substr(std::min<size_t>(line.size(), line.starts_with("| ") ? 2 : 1)) + "\n";
	}
};

void try_request(World &world, std::string const &text, std::string const &title)
{
	size_t const arrow = text.find(" -> ");
	ASSERT_NE(arrow, std::string::npos) << text;
	std::string expected = text.substr(arrow + 4);
	uint32_t wanted_line = 0;
	if (size_t const at = expected.rfind(" @");
		at != std::string::npos && isdigit(static_cast<unsigned char>(expected[at + 2]))) {
		wanted_line = static_cast<uint32_t>(std::stoul(expected.substr(at + 2)));
		expected.resize(at);
	}
	std::istringstream words(text.substr(0, arrow));
	std::string service, source, target, via, remote;
	words >> service >> source >> target >> via >> remote;
	size_t const plus = std::min(service.find('+'), service.size());
	std::string const argument = plus == service.size() ? "+" : service.substr(plus);
	uint32_t line = 0;
	std::string const found = world.decide({.service = std::string_view(service).substr(0, plus),
											   .argument = argument,
											   .source = source,
											   .target = target == "-" ? "" : target,
											   .requested_source = remote},
		line);
	EXPECT_EQ(found, expected) << title << ": " << text;
	if (wanted_line) {
		EXPECT_EQ(line, wanted_line) << title << ": " << text;
	}
}

void try_section(Section &section)
{
	if (section.files.texts.empty()) section.files.directories.push_back("/etc/p");
	World world(section.files);
	EXPECT_EQ(world.faults(), section.faults) << section.title;
	for (std::string const &request : section.requests) try_request(world, request, section.title);
}

void try_file(char const *name, size_t at_least)
{
	std::vector<Section> sections;
	for (std::string const &line : lines_of(name)) {
		if (line.empty()) continue;
		if (line[0] == '=')
			sections.push_back({line.substr(2)});
		else
			sections.back().take(line);
	}
	size_t cases = 0;
	for (Section &section : sections) {
		try_section(section);
		cases += section.requests.size() + section.faults.size();
	}
	EXPECT_GT(cases, at_least);
}

TEST(Policy_rules, decide_as_the_language_says) { try_file("rules.txt", 230); }

TEST(Policy_files, are_read_as_the_language_says) { try_file("files.txt", 110); }

} // namespace
} // namespace bulkhead::policy::test
