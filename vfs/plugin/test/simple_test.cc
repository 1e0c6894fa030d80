// null, zero, inline, log, dir, and what a manifest may say of each.

#include "vfs/plugin/log/log.h"
#include "vfs/plugin/test/plugin_world.h"

#include <gmock/gmock.h>

namespace bulkhead::vfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Simple_plugin : public testing::Test, protected Plugin_world
{};

TEST_F(Simple_plugin, null_swallows_all_and_has_nothing)
{
	attach("/dev/null", "null");
	Ref<File> const f = open("/dev/null").value();
	EXPECT_EQ(write(*f, UINT64_MAX, "hello").value(), 5U);
	EXPECT_EQ(read(*f, UINT64_MAX, 9).value(), "");
	EXPECT_EQ(outcome(wait(tree.change(job, who, "/dev/null", {.size = 0}))), "ok");
	EXPECT_EQ(outcome(wait(tree.change(job, who, "/dev/null", {.mode = 0}))), "read-only");
	EXPECT_EQ(outcome(wait(f->control(job, {}))), "not supported");
	EXPECT_EQ(stat("/dev/null").value().mode, 0666);
}

TEST_F(Simple_plugin, zero_never_ends)
{
	attach("/zero", "zero");
	Ref<File> const f = open("/zero").value();
	EXPECT_EQ(read(*f, UINT64_MAX, 5).value(), std::string(5, '\0'));
	EXPECT_EQ(write(*f, 0, "hello").value(), 5U);
}

TEST_F(Simple_plugin, inline_holds_its_text)
{
	attach("/text", "inline", {{"text", "hello"}, {"mode", "0400"}});
	Ref<File> const f = open("/text", {}).value();
	EXPECT_EQ(read(*f, 0, 9).value(), "hello");
	EXPECT_EQ(read(*f, 4, 9).value(), "o");
	EXPECT_EQ(read(*f, 5, 9).value(), "");
	EXPECT_EQ(read(*f, UINT64_MAX, 9).value(), "");
	EXPECT_EQ(outcome(open("/text")), "read-only");
	EXPECT_EQ(outcome(wait(tree.change(job, who, "/text", {.size = 0}))), "read-only");
	Stat const s = stat("/text").value();
	EXPECT_EQ(s.size, 5U);
	EXPECT_EQ(s.mode, 0400);
	attach("/empty", "inline", {{"text", ""}});
	EXPECT_EQ(stat("/empty").value().size, 0U);
}

TEST_F(Simple_plugin, log_passes_lines_on)
{
	attach("/log", "log", {{"prefix", "guest: "}, {"level", "warning"}});
	Ref<File> a = open("/log").value();
	Ref<File> b = open("/log").value();
	must(write(*a, 0, "one\ntw"));
	must(write(*b, 0, "other"));
	must(write(*a, 0, "o\r\n\n"));
	EXPECT_THAT(log.lines, ElementsAre("warning: guest: one", "warning: guest: two"));
	b.reset();
	EXPECT_EQ(log.lines.back(), "warning: guest: other");
}

TEST_F(Simple_plugin, log_bounds_lines_and_shows_no_control_characters)
{
	attach("/log", "log");
	Ref<File> const f = open("/log").value();
	must(write(*f, 0, std::string(LOG_LINE_MAX + 10, 'x') + "\n"));
	ASSERT_EQ(log.lines.size(), 2U);
	EXPECT_EQ(log.lines[0], "info: " + std::string(LOG_LINE_MAX, 'x'));
	EXPECT_EQ(log.lines[1], "info: xxxxxxxxxx");
	must(write(*f, 0, std::string_view("\x1b[2J\0\x7f\xc3\xa4\t!\n", 11)));
	EXPECT_EQ(log.lines[2], "info: ?[2J??\xc3\xa4\t!");
}

TEST_F(Simple_plugin, dir_holds_what_is_attached)
{
	attach("/d", "dir", {{"mode", "0700"}, {"uid", 7}});
	attach("/d/null", "null");
	EXPECT_THAT(list("/d"), ElementsAre("null"));
	EXPECT_EQ(stat("/d").value().uid, 7U);
	who.uid = 8;
	EXPECT_EQ(outcome(stat("/d/null")), "permission denied");
}

TEST_F(Simple_plugin, owners_are_those_of_the_context_by_default)
{
	context.uid = 3;
	context.gid = 4;
	attach("/null", "null");
	EXPECT_EQ(stat("/null").value().uid, 3U);
	EXPECT_EQ(stat("/null").value().gid, 4U);
}

TEST_F(Simple_plugin, faults_name_the_key_and_a_remedy)
{
	EXPECT_EQ(fault("inline", {}), "text: is missing; add it: what stands in the file");
	EXPECT_EQ(fault("inline", {{"txt", "x"}}), "txt: isn't known here; did you mean 'text'?");
	EXPECT_EQ(fault("inline", {{"text", 5}}), "text: is a number, and should be a text");
	EXPECT_EQ(fault("null", {{"mode", "0888"}}),
		"mode: is no set of permission bits; write an octal number as \"0640\"");
	EXPECT_THAT(fault("null", {{"mode", "77777"}}), HasSubstr("no set of permission bits"));
	EXPECT_EQ(fault("null", {{"mode", 420}}), "mode: is a number, and should be a text");
	EXPECT_EQ(fault("null", {{"uid", -1}}), "uid: is -1; the least is 0");
	EXPECT_EQ(
		fault("null", {{"zebra", true}}), "zebra: isn't known here; there are: mode, uid, gid");
	EXPECT_EQ(fault("log", {{"level", "loud"}}),
		"level: is no level; write error, warning, info or debug");
	EXPECT_THAT(fault("log", {{"prefix", std::string(40, 'x')}}), HasSubstr("at most 32"));
	EXPECT_EQ(fault("ram", {{"size", "lots"}}),
		"size: is no size; write a number of bytes, or a text such as \"64 KiB\", \"16 MiB\" or "
		"\"1 GiB\"");
	EXPECT_EQ(fault("ram", {{"size", true}}),
		"size: is true or false, and should be a size such as \"16 MiB\"");
	EXPECT_EQ(fault("ram", {{"nodes", 0}}), "nodes: is 0; the least is 1");
	EXPECT_EQ(fault("ram", {{"size", "1 MiB"}, {"nodes", 5}}), "ok");
}

TEST_F(Simple_plugin, lack_of_memory_is_a_fault)
{
	heap.limit = heap.used;
	for (auto const *name : {"dir", "log", "null", "ram", "zero"})
		EXPECT_EQ(fault(name, {}), ": can't be made: out of memory") << name;
	EXPECT_EQ(fault("inline", {{"text", "x"}}), ": can't be made: out of memory");
}

TEST(Config, sizes_have_units)
{
	EXPECT_EQ(size_of_text("4096").value(), 4096U);
	EXPECT_EQ(size_of_text("64KiB").value(), 65536U);
	EXPECT_EQ(size_of_text("16 MiB").value(), 16U << 20);
	EXPECT_EQ(size_of_text("2 kB").value(), 2000U);
	EXPECT_EQ(size_of_text("9223372036854775807").value(), INT64_MAX);
	EXPECT_EQ(outcome(size_of_text("9223372036854775808")), "out of range");
	EXPECT_EQ(outcome(size_of_text("99999999 TiB")), "out of range");
	for (auto const *text : {"", "KiB", "-1", "1 kib", "1.5 MiB", " 1", "1 MiB "})
		EXPECT_EQ(outcome(size_of_text(text)), "invalid argument") << text;
}

TEST(Config, lists_are_read_item_by_item)
{
	Fake_config const config{{"names", Fake_config::List{"a", "b"}}, {"text", "x"}};
	EXPECT_EQ(config.list_size("names").value(), 2U);
	EXPECT_EQ(config.list_item("names", 1).value(), "b");
	EXPECT_EQ(config.list_size("none").value(), 0U);
	EXPECT_FALSE(config.list_size("text").ok());
}

TEST(Config, texts_of_faults_are_cut_not_lost)
{
	std::string const name(500, 'k');
	Config_fault const fault = Config::fault(name, name, name);
	EXPECT_EQ(fault.key.view(), name.substr(0, 64));
	EXPECT_EQ(fault.problem.view(), name.substr(0, 160));
}

} // namespace
} // namespace bulkhead::vfs
