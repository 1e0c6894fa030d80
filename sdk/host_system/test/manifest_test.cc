#include "domain/manifest/toml.h"
#include "sdk/host_system/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::host_system {
namespace {

using ::testing::HasSubstr;

std::string faults_of(std::string text)
{
	return parse_manifest("m.toml", std::move(text)).describe_faults();
}

constexpr vfs::Key KEYS[] = {
	{"chip_select", vfs::Kind::NUMBER, "0 to 7"},
	{"bus", vfs::Kind::TEXT, "a bus", true},
};

TEST(Manifest, sections_and_settings_know_their_places)
{
	Manifest const manifest = parse_manifest("m.toml",
		"[bus.spi0]\n"
		"controller = \"sim\"\n"
		"[device.tpm0]\n"
		"  chip_select = 3\n"
		"[file.\"/dev/tpm0\"]\n"
		"list = [\"a\", \"b\"]\n"
		"yes = true\n"
		"[plugin.counter]\n"
		"path = \"counter.so\"\n");
	ASSERT_TRUE(manifest.faults.empty()) << manifest.describe_faults();
	ASSERT_EQ(manifest.devices.size(), 1u);
	Section const &device = manifest.devices[0];
	EXPECT_EQ(device.heading, "[device.tpm0]");
	EXPECT_EQ(device.at.line, 3u);
	EXPECT_EQ(device.number("chip_select", 0, 0, 7).value(), 3u);
	EXPECT_EQ(device.position_of("chip_select").line, 4u);
	EXPECT_EQ(device.position_of("chip_select").column, 3u);
	Section const &file = manifest.files[0];
	EXPECT_EQ(file.heading, "[file.\"/dev/tpm0\"]");
	EXPECT_EQ(file.list_size("list").value(), 2u);
	EXPECT_EQ(file.list_item("list", 1).value(), "b");
	EXPECT_TRUE(file.boolean("yes", false).value());
	ASSERT_EQ(manifest.plugins.size(), 1u);
	EXPECT_EQ(manifest.plugins[0].name, "counter");
	EXPECT_EQ(manifest.plugins[0].text_of("path"), "counter.so");
}

TEST(Manifest, a_fault_is_shown_with_its_line_and_a_mark)
{
	Manifest manifest = parse_manifest("m.toml", "[device.tpm0]\nbus = \"x\"\n\tchipselect = 0\n");
	manifest.devices[0].check_keys(KEYS, {}, manifest.faults);
	EXPECT_EQ(manifest.describe_faults(),
		"m.toml:3:2: unknown key 'chipselect' in [device.tpm0]; did you mean 'chip_select'?\n"
		"    3 | \tchipselect = 0\n"
		"      | \t^\n");
}

TEST(Manifest, all_faults_are_told_in_order)
{
	Manifest manifest = parse_manifest("m.toml",
		"[devise.tpm0]\n"
		"[device.tpm0]\n"
		"chipselect = 0\n"
		"[file.\"relative\"]\n"
		"[file.\"/a/../b\"]\n"
		"[bus]\n"
		"controller = \"sim\"\n");
	manifest.devices[0].check_keys(KEYS, {}, manifest.faults);
	std::string const faults = manifest.describe_faults();
	size_t at = 0;
	for (std::string const part : {"m.toml:1:2: unknown section 'devise'; did you mean 'device'?",
			 "m.toml:2:9: 'bus' is missing in [device.tpm0]; add bus = …: a bus",
			 "m.toml:3:1: unknown key 'chipselect'",
			 "m.toml:4:7: 'relative' is not an absolute path",
			 "m.toml:5:7: '..' can't be the name of a file",
			 "m.toml:7:1: 'controller' doesn't belong in [bus]"}) {
		size_t const next = faults.find(part, at);
		EXPECT_NE(next, std::string::npos) << part << " in\n" << faults;
		if (next != std::string::npos) at = next;
	}
}

TEST(Manifest, paths_that_meet_are_faults)
{
	EXPECT_THAT(faults_of("[file.\"/a\"]\n[file.\"//a/\"]\n"),
		HasSubstr("m.toml:2:7: [file.\"//a/\"] is there twice"));
	EXPECT_THAT(faults_of("[file.\"/a\"]\nplugin = \"ram\"\n[file.\"/a/b/c\"]\n"),
		HasSubstr("m.toml:3:7: [file.\"/a/b/c\"] lies below [file.\"/a\"]"));
	EXPECT_THAT(faults_of("[file.\"/\"]\nplugin = \"ram\"\n[file.\"/a\"]\n"),
		HasSubstr("m.toml:3:7: [file.\"/a\"] lies below [file.\"/\"]"));
	EXPECT_EQ(faults_of("[file.\"/a\"]\nplugin = \"dir\"\n[file.\"/a/b\"]\n"), "");
	EXPECT_EQ(faults_of("[file.\"/a\"]\n[file.\"/ab\"]\n"), "");
}

TEST(Manifest, what_is_no_toml_is_told_where_it_stops)
{
	EXPECT_THAT(faults_of("[serve\nmount = 1\n"), HasSubstr("m.toml:1:"));
	EXPECT_THAT(faults_of("a = 1\na = 2\n"), HasSubstr("m.toml:2:"));
	EXPECT_THAT(faults_of("[serve]\nmount = \"\xff\xfe\"\n"), HasSubstr("m.toml:2:"));
	EXPECT_THAT(faults_of("[serve]\nn = 99999999999999999999999\n"), HasSubstr("m.toml:2:"));
	EXPECT_THAT(faults_of("a = " + std::string(100'000, '[')), HasSubstr("m.toml:1:"));
	EXPECT_THAT(faults_of(std::string(domain::TOML_MAX + 1, '#')), HasSubstr("larger than 1 MiB"));
}

TEST(Manifest, characters_beyond_ascii_stand_in_quotes_only)
{
	EXPECT_THAT(faults_of("# é\n[file.\"/a\"]\n  ключ = 1\n"), HasSubstr("m.toml:3:"));
	EXPECT_EQ(faults_of("\xef\xbb\xbf[file.\"/é\"]\na = 'é' # é\nb = \"\\\"é\"\n"
						"c = \"\"\"\né\\\"\"\"é\"\"\"\"\nd = '''é\\'''\n"),
		"");
}

TEST(Manifest, a_heading_needs_a_name)
{
	for (std::string const text :
		{"[=]\n", "[\x06x]\n", "  [[ .a]]\n", "[#]\n", "[\n]\n", "[{}]\n"})
		EXPECT_THAT(faults_of(text), HasSubstr("m.toml")) << text;
	for (std::string const text : {"[", "[]", "[[", "[[]]", "[ [a] ]", "[a", "[\"", "[a]]"})
		EXPECT_THAT(faults_of(text), HasSubstr("m.toml")) << text;
	EXPECT_EQ(
		faults_of("[file.\"/a\"]\nb = [\n[ +1 ],\n [ { c = 1 } ]\n]\n[ file . \"/b\" ]\n"), "");
}

TEST(Manifest, what_the_parser_gives_up_on_is_a_fault)
{
	EXPECT_THAT(faults_of("a = [}\n"), HasSubstr("m.toml: the parser gave up"));
}

TEST(Manifest, values_of_the_wrong_kind_are_faults)
{
	Manifest const manifest = parse_manifest("m.toml",
		"[device.x]\ntext = 5\nnumber = -1\nlarge = 9223372036854775807\nnested = { a = [1] }\n"
		"date = 1979-05-27\nfloat = 1.5\n");
	ASSERT_EQ(manifest.devices.size(), 1u);
	Section const &section = manifest.devices[0];
	for (char const *const key : {"text", "nested", "date"})
		EXPECT_FALSE(section.text(key).ok()) << key;
	for (char const *const key : {"number", "large", "float", "nested"})
		EXPECT_FALSE(section.number(key, 0, 0, 1000).ok()) << key;
	EXPECT_THAT(manifest.describe(section.located(section.number("number", 0, 0, 9).error())),
		HasSubstr("m.toml:3:1: 'number' in [device.x] "));
}

TEST(Manifest, control_characters_are_not_printed)
{
	std::string const faults = faults_of("[file.\"\\u001b[31m\"]\n");
	EXPECT_EQ(faults.find('\x1b'), std::string::npos) << faults;
}

TEST(Manifest, control_characters_of_names_and_values_are_not_printed)
{
	Manifest manifest =
		parse_manifest("m.toml", "[bus.\"a\\u0007\"]\ncontroller = \"\\u001b[31m\"\n");
	ASSERT_EQ(manifest.buses.size(), 1u);
	Section const &bus = manifest.buses[0];
	manifest.faults.push_back(bus.fault("controller", "no " + bus.heading, "not " + bus.name));
	manifest.faults.push_back(
		bus.fault("controller", "no " + std::string(bus.text_of("controller")), ""));
	std::string const faults = manifest.describe_faults();
	EXPECT_EQ(faults.find_first_of("\x1b\a"), std::string::npos) << faults;
	EXPECT_THAT(faults, HasSubstr("no [bus.\"a?\"]; not a?"));
	EXPECT_THAT(faults, HasSubstr("no ?[31m"));
}

TEST(Manifest, a_file_that_cannot_be_read_is_a_fault)
{
	EXPECT_THAT(read_manifest("/nonexistent/m.toml").describe_faults(),
		HasSubstr("/nonexistent/m.toml: can't be read: No such file or directory"));
	EXPECT_THAT(read_manifest("/").describe_faults(), HasSubstr("can't be read"));
}

} // namespace
} // namespace bulkhead::host_system
