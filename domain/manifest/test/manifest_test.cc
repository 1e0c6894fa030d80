#include "domain/manifest/manifest.h"
#include "domain/manifest/program_config.h"
#include "domain/manifest/toml.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace bulkhead::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view SYSTEM = "[system]\nrules = '* * * * deny'\n";

/* A manifest whose domain `a`, from line 4 on, has these lines. */
std::string domain_a(std::string_view lines)
{
	return std::string(SYSTEM) + "[domain.a]\n" + std::string(lines);
}

constexpr std::string_view WHOLE = R"(
[system]
name = "demo"
rules = '''
# first
* * @anyvm @anyvm deny
'''
logs = "logs"
permit_weaker = ["memory_limit", "landlock"]

[domain.vault]
program = ["/usr/bin/thing", "-x"]
files = ["/usr", { source = "srv", target = "/srv//keys/", writable = true }]
scratch = "16 MiB"
needs = ["clock"]
memory = "64 MiB"
cpu = "50 %"
processes = 8
calls = 4
log = 65536
ring = "64 KiB"
system_calls = ["socket"]
tags = ["trusted"]
start = "on_call"
restart = "always"
[domain.vault.environment]
LANG = "C"
[domain.vault.service."vault.Sign"]
command = ["/bin/sh", "/srv/sign"]
[domain.vault.mount."/tpm/"]
domain = "tpm"
name = "dev"

[domain.tpm]
component = "files"
services = ["bulkhead.File"]
config = "text"
[domain.tpm.device.wire]
path = "/dev/spidev0.1"
[domain.tpm.device.chip]
socket = "swtpm.sock"

[domain.clock]
component = "clock"
restart = "never"
)";

TEST(System_manifest, a_system_is_read_whole)
{
	Reading const reading = parse_manifest(WHOLE, "/etc/bulkhead/x.toml");
	ASSERT_TRUE(reading.faults.empty()) << reading.describe_faults();
	System_plan const &plan = reading.plan;
	EXPECT_EQ(plan.name, "demo");
	EXPECT_EQ(plan.manifest, "/etc/bulkhead/x.toml");
	EXPECT_EQ(plan.rules, "# first\n* * @anyvm @anyvm deny\n");
	EXPECT_EQ(plan.rules_at, (Position{5, 1}));
	EXPECT_EQ(plan.logs, "/etc/bulkhead/logs");
	EXPECT_THAT(plan.permit_weaker, ElementsAre("memory_limit", "landlock"));
	ASSERT_EQ(plan.domains.size(), 3U);
	EXPECT_EQ(plan.domains[0].name, "clock");
	EXPECT_EQ(plan.domains[0].restart, Restart::NEVER);
	Domain_plan const &tpm = plan.domains[1];
	EXPECT_EQ(tpm.component, "files");
	EXPECT_EQ(tpm.config, "text");
	EXPECT_THAT(tpm.devices,
		ElementsAre(Device{"wire", "/dev/spidev0.1", "", true},
			Device{"chip", "", "/etc/bulkhead/swtpm.sock", true}));
	EXPECT_THAT(tpm.services, ElementsAre("bulkhead.File"));
}

TEST(System_manifest, a_program_gets_what_its_domain_is_given)
{
	Reading const reading = parse_manifest(WHOLE, "/etc/bulkhead/x.toml");
	ASSERT_EQ(reading.plan.domains.size(), 3U);
	Domain_plan const &vault = reading.plan.domains[2];
	EXPECT_EQ(vault.name, "vault");
	EXPECT_EQ(vault.at.line, 11U);
	EXPECT_EQ(vault.component, "");
	EXPECT_THAT(vault.files,
		ElementsAre(
			Seen_file{"/usr", "/usr", false}, Seen_file{"/etc/bulkhead/srv", "/srv/keys", true}));
	EXPECT_THAT(vault.needs, ElementsAre("clock", "tpm"));
	EXPECT_TRUE(vault.services.empty());
	EXPECT_THAT(
		vault.commands, ElementsAre(Service_command{"vault.Sign", {"/bin/sh", "/srv/sign"}}));
	EXPECT_EQ(vault.scratch_bytes, 16U << 20);
	EXPECT_EQ(vault.memory_bytes, 64U << 20);
	EXPECT_EQ(vault.cpu_percent, 50U);
	EXPECT_EQ(vault.processes_max, 8U);
	EXPECT_EQ(vault.calls_max, 4U);
	EXPECT_EQ(vault.log_bytes, 65536U);
	EXPECT_EQ(vault.ring_bytes, 65536U);
	EXPECT_EQ(vault.start, Start::ON_CALL);
	EXPECT_EQ(vault.restart, Restart::ALWAYS);
	EXPECT_THAT(vault.extra_system_calls, ElementsAre("socket"));
	EXPECT_THAT(vault.tags, ElementsAre("trusted"));
	auto const config = read_program_config(vault.config);
	ASSERT_TRUE(config.ok());
	EXPECT_EQ(config.value(),
		(Program_config{vault.program, {"LANG=C"}, vault.commands, {{"/tpm", "tpm", "dev"}}}));
}

struct Fault_case
{
	std::string text;
	unsigned line;
	unsigned column;
	std::string_view said;
};

class System_manifest_faults : public testing::TestWithParam<Fault_case>
{};

TEST_P(System_manifest_faults, are_told_with_their_place_and_a_remedy)
{
	Fault_case const &given = GetParam();
	Reading const reading = parse_manifest(given.text, "/etc/m.toml");
	ASSERT_EQ(reading.faults.size(), 1U) << reading.describe_faults();
	Fault const &fault = reading.faults[0];
	EXPECT_EQ(fault.at, (Position{given.line, given.column})) << reading.describe_faults();
	EXPECT_EQ(fault.problem + "; " + fault.remedy, given.said);
}

constexpr std::string_view B = "[domain.b]\ncomponent = 'b'\n";
#define AND_B +std::string(B)

INSTANTIATE_TEST_SUITE_P(Of_the_system, System_manifest_faults,
	testing::ValuesIn(std::vector<Fault_case>{
		{"[sistem]\n" + domain_a("component = 'x'\n"), 1, 2,
			"unknown key 'sistem' in the manifest; did you mean 'system'?"},
		{"[domain.a]\ncomponent = 'x'\n", 0, 0,
			"nothing says who may call whom; add policy = \"policy.d\" (a folder in Qubes' "
			"language) or rules = '''…''' to [system]"},
		{"[system]\npolicy = 'p'\nrules = 'x'\n[domain.a]\ncomponent = 'x'\n", 3, 1,
			"both 'policy' and 'rules' in [system]; keep one of them"},
		{"[system]\npolicy = ''\n[domain.a]\ncomponent = 'x'\n", 2, 1,
			"'policy' in [system] is empty; write a path, or leave it out"},
		{"[system]\nname = 'x/y'\npolicy = 'p'\n[domain.a]\ncomponent = 'x'\n", 2, 1,
			"the system's name 'x/y' has a character that no name has; a name is a letter, then "
			"letters, digits and . _ - , 31 characters at most"},
		{"[system]\npolicy = 'p'\npermit_weaker = ['memory']\n[domain.a]\ncomponent = 'x'\n", 3, 18,
			"there is no ability 'memory'; did you mean 'memory_limit'?"},
		{std::string(SYSTEM), 0, 0, "there is no domain; add a table [domain.NAME]"},
		{std::string(SYSTEM) + "[domain]\na = 1\n", 4, 1,
			"'a' doesn't belong in the manifest; begin a table: [domain.a]"},
		{std::string(SYSTEM) + "[domain.dom0]\ncomponent = 'x'\n", 3, 9,
			"no domain can be called 'dom0'; it is the operator, in whose name `bulkhead call` "
			"asks"},
		{std::string(SYSTEM) + "[domain.1a]\ncomponent = 'x'\n", 3, 9,
			"the domain '1a' doesn't begin with a letter; a name is a letter, then letters, "
			"digits and . _ - , 31 characters at most"},
		{domain_a("component = 'x'\n[domain.a]\n"), 5, 1,
			"Error while parsing table header: cannot redefine existing table 'domain.a'; each "
			"name is there once: give this one another, or put the two together"},
	}));

INSTANTIATE_TEST_SUITE_P(Of_what_runs, System_manifest_faults,
	testing::ValuesIn(std::vector<Fault_case>{
		{domain_a("need = []\ncomponent = 'x'\n"), 4, 1,
			"unknown key 'need' in [domain.a]; did you mean 'needs'?"},
		{domain_a("component = 'x'\nprogram = ['/x']\n"), 5, 1,
			"both 'component' and 'program' in [domain.a]; keep one of them: a domain runs a "
			"component of Bulkhead's, or ordinary programs"},
		{domain_a(""), 3, 9,
			"[domain.a] has nothing to run; add component = \"…\", program = [\"…\"], or a "
			"service with its command"},
		{domain_a("component = 3\n"), 4, 1,
			"'component' in [domain.a] is a number; write a text in quotes"},
		{domain_a("component = '../x'\n"), 4, 1,
			"the component '../x' has a character that no name has; a name is a letter, then "
			"letters, digits and . _ - , 31 characters at most"},
		{domain_a("program = []\n"), 4, 1,
			"'program' in [domain.a] is empty; write the program's path, then its arguments: "
			"[\"/usr/bin/thing\", \"-x\"]"},
		{domain_a("program = ['thing']\n"), 4, 1,
			"'thing' is no absolute path; write the program's path in the domain: there is no "
			"search for it"},
		{domain_a("program = ['/x']\nservices = ['a.B']\n"), 5, 1,
			"a program serves by commands; begin a table for each: [domain.a.service.NAME] with "
			"command = [\"/path\"]"},
		{domain_a("component = 'x'\nservices = ['a.B', 'a.B']\n"), 5, 20,
			"the service 'a.B' is there twice; remove one of them"},
		{domain_a("component = 'x'\nservices = ['a.B+c']\n"), 5, 13,
			"a service can't be called 'a.B+c'; name it without argument: one service takes all "
			"arguments"},
		{domain_a("component = 'x'\n[domain.a.service.'a.B']\ncommand = ['/x']\n"), 5, 11,
			"'service' in [domain.a] is for ordinary programs; remove it, or 'component'"},
		{domain_a("[domain.a.service.'a.B']\n"), 4, 19,
			"'command' is missing in [domain.a.service.\"a.B\"]; add command = "
			"[\"/path/of/program\", \"argument\"]"},
		{domain_a("component = 'x'\nconfig = 'c'\nconfig_file = 'c'\n"), 6, 1,
			"both 'config' and 'config_file' in [domain.a]; keep one of them"},
		{domain_a("program = ['/x', \"a\\u0000\"]\n"), 4, 18,
			"'program' in [domain.a] holds a text with a zero byte; write texts in quotes"},
		{domain_a("program = ['/x']\n[domain.a.environment]\n'A=B' = ''\n"), 6, 1,
			"'A=B' can't be the name of a variable; a name has no '=' and isn't empty"},
	}));

INSTANTIATE_TEST_SUITE_P(Of_what_is_given, System_manifest_faults,
	testing::ValuesIn(std::vector<Fault_case>{
		{domain_a("component = 'x'\n[domain.a.device.'w:1']\npath = '/dev/x'\n"), 5, 18,
			"the device 'w:1' has a character that no name has; a name is a letter, then letters, "
			"digits and . _ - , 31 characters at most"},
		{domain_a("component = 'x'\n[domain.a.device.w]\n"), 5, 18,
			"neither 'path' nor 'socket' in [domain.a.device.w]; add path = \"/dev/…\", or the "
			"socket to connect to"},
		{domain_a("component = 'x'\n[domain.a.device.w]\npath = '/x'\nsocket = '/y'\n"), 7, 1,
			"both 'path' and 'socket' in [domain.a.device.w]; keep one of them"},
		{domain_a("program = ['/x']\nfiles = ['usr']\n"), 5, 10,
			"'usr' is no absolute path; a path in a domain begins with /"},
		{domain_a("program = ['/x']\nfiles = ['/usr/../etc']\n"), 5, 10,
			"'/usr/../etc' has '.' or '..' in it; write where it leads to"},
		{domain_a("program = ['/x']\nfiles = ['/usr', '/usr/']\n"), 5, 18,
			"'/usr' is there twice; one place shows one thing: choose another target"},
		{domain_a("program = ['/x']\nfiles = ['/']\n"), 5, 10,
			"'/' is the sandbox's own; choose another place, or one below it"},
		{domain_a("program = ['/x']\nfiles = [{ target = '/x' }]\n"), 5, 10,
			"'source' is missing in 'files' in [domain.a]; write { source = \"…\", target = "
			"\"/…\" }"},
		{domain_a("program = ['/x']\nfiles = [7]\n"), 5, 10,
			"'files' in [domain.a] holds a number; write \"/path\", or { source = \"…\", target "
			"= \"/…\", writable = true }"},
		{domain_a("component = 'x'\nmemory = '64 megs'\n"), 5, 1,
			"'memory' in [domain.a] is no size; write a number of bytes, or a text such as "
			"\"16 MiB\""},
		{domain_a("component = 'x'\nmemory = 7\n"), 5, 1,
			"'memory' in [domain.a] is 7; the least is 1048576; choose more"},
		{domain_a("component = 'x'\nring = '1 GiB'\n"), 5, 1,
			"'ring' in [domain.a] is 1073741824; the most is 67108864; choose less"},
		{domain_a("component = 'x'\ncpu = 'half'\n"), 5, 1,
			"'cpu' in [domain.a] is no percentage; write a number, or a text such as \"50 %\""},
		{domain_a("component = 'x'\nprocesses = -1\n"), 5, 1,
			"'processes' in [domain.a] is negative; the least is 1"},
		{domain_a("component = 'x'\nstart = 'on_cal'\n"), 5, 1,
			"'start' in [domain.a] can't be \"on_cal\"; did you mean 'on_call'?"},
		{domain_a("component = 'x'\ntags = ['a b']\n"), 5, 9,
			"'a b' can't be a tag; use letters, digits and . _ - , 64 of them at most"},
		{domain_a("component = 'x'\nsystem_calls = ['open(2)']\n"), 5, 17,
			"there is no system call 'open(2)'; write the kernel's names, such as \"socket\", or "
			"\"@program\""},
	}));

INSTANTIATE_TEST_SUITE_P(Between_domains, System_manifest_faults,
	testing::ValuesIn(std::vector<Fault_case>{
		{domain_a("component = 'x'\nneeds = ['bb']\n") AND_B, 5, 10,
			"domain 'a' needs 'bb', which doesn't exist; did you mean 'b'?"},
		{domain_a("component = 'x'\nneeds = ['a']\n"), 5, 10,
			"domain 'a' needs itself; name another domain"},
		{domain_a("component = 'x'\nneeds = ['b', 'b']\n") AND_B, 5, 15,
			"the need 'b' is there twice; remove one of them"},
		{domain_a("component = 'x'\nneeds = ['b']\n") AND_B +
				"needs = ['c']\n[domain.c]\ncomponent = 'c'\nneeds = ['a']\n",
			3, 9,
			"a circle: a needs b, b needs c, c needs a; one of them has to start without the "
			"other (a mount is a need, too)"},
		{domain_a("program = ['/x']\n[domain.a.mount.'/t']\ndomain = 'c'\nname = 'x'\n") AND_B, 6,
			1, "domain 'a' mounts files of 'c', which doesn't exist; did you mean 'b'?"},
		{domain_a("program = ['/x']\n[domain.a.mount.'t']\ndomain = 'b'\nname = 'x'\n") AND_B, 5,
			17, "'t' is no absolute path; a path in a domain begins with /"},
		{domain_a("program = ['/x']\n[domain.a.mount.'/t']\ndomain = 'b'\n") AND_B, 5, 17,
			"'name' is missing in [domain.a.mount.\"/t\"]; add name = …: what the other domain "
			"serves it as"},
		{domain_a("program = ['/x']\n[domain.a.mount.'/t']\ndomain = 'b'\nname = 'a/b'\n") AND_B, 7,
			1, "nothing is served as 'a/b'; use letters, digits and . _ - +"},
	}));

TEST(System_manifest, faults_are_told_in_order_and_shown)
{
	Reading const reading =
		parse_manifest("[domain.a]\ncomponent = 'x'\n\tcalls = 0\nneed = ''\n", "m.toml");
	EXPECT_EQ(reading.describe_faults(),
		"m.toml: nothing says who may call whom; add policy = \"policy.d\" (a folder in Qubes' "
		"language) or rules = '''…''' to [system]\n"
		"m.toml:3:2: 'calls' in [domain.a] is 0; the least is 1; choose more\n"
		"    3 | \tcalls = 0\n"
		"      | \t^\n"
		"m.toml:4:1: unknown key 'need' in [domain.a]; did you mean 'needs'?\n"
		"    4 | need = ''\n"
		"      | ^\n");
}

TEST(System_manifest, names_that_there_are_are_told_where_none_is_like_the_wrong_one)
{
	constexpr std::string_view NAMES[] = {"alpha", "beta"};
	EXPECT_EQ(suggestion("alhpa", NAMES), "did you mean 'alpha'?");
	EXPECT_EQ(suggestion("x", NAMES), "there are: alpha, beta");
	EXPECT_EQ(suggestion("x", {}), "remove it");
}

TEST(System_manifest, the_file_names_the_system)
{
	EXPECT_EQ(parse_manifest(domain_a("component = 'x'\n"), "/etc/home.toml").plan.name, "home");
	EXPECT_THAT(parse_manifest(domain_a("component = 'x'\n"), "/etc/1.toml").describe_faults(),
		HasSubstr("the file's name is no name for a system; add name"));
}

TEST(System_manifest, files_of_a_domain_that_starts_on_a_call_are_not_waited_for)
{
	Reading const reading = parse_manifest(
		domain_a("program = ['/x']\n[domain.a.mount.'/t']\ndomain = 'b'\nname = 'x'\n") AND_B +
			"start = 'on_call'\n",
		"/m.toml");
	ASSERT_TRUE(reading.faults.empty()) << reading.describe_faults();
	EXPECT_EQ(reading.plan.domains[0].name, "b");
	EXPECT_TRUE(reading.plan.domains[1].needs.empty());
}

TEST(System_manifest, a_domain_that_moved_is_the_same)
{
	Reading const before = parse_manifest(domain_a("component = 'x'\n"), "/m.toml");
	Reading const moved = parse_manifest("\n" + domain_a("component = 'x'\n"), "/m.toml");
	Reading const other = parse_manifest(domain_a("component = 'x'\ncalls = 7\n"), "/m.toml");
	EXPECT_TRUE(before.plan.domains[0].same_as(moved.plan.domains[0]));
	EXPECT_FALSE(before.plan.domains[0].same_as(other.plan.domains[0]));
}

TEST(System_manifest, too_much_is_refused)
{
	EXPECT_THAT(parse_manifest(std::string(2 << 20, '\n'), "m").describe_faults(),
		HasSubstr("is larger than 1 MiB"));
	std::string deep = "a";
	for (int i = 0; i < 100'000; ++i) deep += ".a";
	EXPECT_THAT(parse_manifest(deep + " = 1\n", "m").describe_faults(),
		HasSubstr("more than 512 dots in a line"));
	std::string many(SYSTEM);
	for (int i = 0; i <= 1024; ++i)
		many += "[domain.d" + std::to_string(i) + "]\ncomponent = 'x'\n";
	EXPECT_THAT(parse_manifest(many, "m.toml").describe_faults(),
		HasSubstr("more than 1024 domains; make two systems of it"));
	std::string wrong(SYSTEM);
	for (int i = 0; i < 200; ++i) wrong += "[domain.d" + std::to_string(i) + "]\n";
	EXPECT_EQ(parse_manifest(wrong, "m.toml").faults.size(), 101U);
}

class System_manifest_files : public testing::Test
{
protected:
	std::string _folder;

	void SetUp() override
	{
		char name[] = "/tmp/bulkhead_manifest_XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		_folder = name;
	}

	void TearDown() override { std::filesystem::remove_all(_folder); }

	std::string write(std::string_view name, std::string_view text) const
	{
		std::string const path = _folder + "/" + std::string(name);
		std::ofstream(path) << text;
		return path;
	}
};

TEST_F(System_manifest_files, a_configuration_may_be_a_file_of_its_own)
{
	write("tpm.toml", "the text");
	std::string const path =
		write("m.toml", domain_a("component = 'x'\nconfig_file = 'tpm.toml'\n"));
	Reading const reading = read_manifest(path);
	ASSERT_TRUE(reading.faults.empty()) << reading.describe_faults();
	EXPECT_EQ(reading.plan.domains[0].config, "the text");
}

TEST_F(System_manifest_files, what_cannot_be_read_is_a_fault)
{
	std::string const path =
		write("m.toml", domain_a("component = 'x'\nconfig_file = 'tpm.toml'\n"));
	EXPECT_THAT(read_manifest(path).describe_faults(),
		HasSubstr("m.toml:5:1: '" + _folder + "/tpm.toml': No such file or directory; a relative"));
	EXPECT_EQ(read_manifest(_folder + "/none").describe_faults(),
		_folder +
			"/none: can't be read: No such file or directory; name a manifest, as "
			"bulkhead-system.toml(5) describes them\n");
	EXPECT_THAT(read_manifest(_folder).describe_faults(),
		HasSubstr(": can't be read: Is a directory; name"));
}

} // namespace
} // namespace bulkhead::domain
