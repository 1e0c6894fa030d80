#include "component/files/files.h"
#include "component/files/test/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::files {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view RAM = "[file.\"/data\"]\nplugin = \"ram\"\nsize = \"1 MiB\"\n"
								 "[file.\"/data2/greeting\"]\nplugin = \"inline\"\n"
								 "text = \"hello\"\n";

constexpr std::string_view TPM =
	"[bus.spi]\ncontroller = \"sim\"\nswtpm = \"wire\"\n"
	"[device.tpm]\ndriver = \"tpm\"\nbus = \"spi\"\n"
	"[file.\"/dev/tpm0\"]\nplugin = \"char_device\"\ndevice = \"tpm\"\n";

std::string text(std::string_view a, std::string_view b) { return std::string(a).append(b); }

TEST(Files, a_call_has_the_files_of_its_export)
{
	World world(text(RAM, "[export.all]\n[export.sub]\npath = \"/data2\"\n"));
	ASSERT_TRUE(world.start());
	Client_domain work(world, "work", "all");
	EXPECT_EQ(work.read("data2/greeting"), "hello");
	EXPECT_EQ(work.make("data/new", "some text"), Error{});
	Client_domain web(world, "web", "all");
	EXPECT_EQ(web.read("data/new"), "some text") << "one tree for all";
	Client_domain sub(world, "web", "sub");
	EXPECT_EQ(sub.read("greeting"), "hello");
	EXPECT_EQ(sub.error_of_open("data2/greeting"), Error::NOT_FOUND);
}

TEST(Files, a_client_has_what_the_first_rule_for_it_says)
{
	World world(text(RAM,
		"[export.all]\nnodes = [\"data\", \"data2\"]\n"
		"[[export.all.client]]\ndomain = \"web\"\nread_only = true\nnodes = [\"/data2\"]\n"
		"[[export.all.client]]\ndomain = \"work\"\n"));
	ASSERT_TRUE(world.start());
	Client_domain work(world, "work", "all");
	EXPECT_EQ(work.make("data/new", "x"), Error{});
	Client_domain web(world, "web", "all");
	EXPECT_EQ(web.read("data2/greeting"), "hello");
	EXPECT_EQ(web.error_of_open("data/new"), Error::NOT_FOUND);
	EXPECT_EQ(web.make("data2/new", "x"), Error::READ_ONLY);
	Client_domain other(world, "other", "all");
	EXPECT_EQ(other.exit_code(), EXIT_NOT_ALLOWED);
	Client_domain nothing(world, "work", "nothing");
	EXPECT_EQ(nothing.exit_code(), EXIT_NO_EXPORT);
}

TEST(Files, who_stalls_stalls_only_itself)
{
	World world(text(RAM, "[export.all]\n"));
	ASSERT_TRUE(world.start());
	Client_domain web(world, "web", "all");
	EXPECT_EQ(web.read("data2/greeting"), "hello");
	web.ask_without_reading("data2/greeting");
	Client_domain work(world, "work", "all");
	for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(work.read("data2/greeting"), "hello");
}

struct Files_with_tpm : testing::Test
{
	static constexpr uint32_t GET_RANDOM = 0x17b, CLEAR = 0x126;
	static constexpr uint32_t NO_SUCH_COMMAND = 11u << 16 | 0x143;

	World world{text(TPM,
		"[export.dev]\npath = \"/dev\"\n"
		"[[export.dev.client]]\ndomain = \"web\"\ntpm_commands = [\"GetRandom\"]\n"
		"[[export.dev.client]]\ndomain = \"*\"\n")};

	Files_with_tpm() { world.give_tpm("wire"); }
};

TEST_F(Files_with_tpm, gives_commands_of_another_domain_to_the_chip)
{
	ASSERT_TRUE(world.start());
	Client_domain work(world, "work", "dev");
	auto const file = work.open("tpm0");
	ASSERT_TRUE(file);
	EXPECT_EQ(work.give(*file, GET_RANDOM).size(), 20u);
	EXPECT_EQ(work.close(*file), Error{});
}

TEST_F(Files_with_tpm, refuses_commands_that_a_client_may_not_give)
{
	ASSERT_TRUE(world.start());
	Client_domain web(world, "web", "dev");
	auto const file = web.open("tpm0");
	ASSERT_TRUE(file);
	EXPECT_EQ(web.give(*file, GET_RANDOM).size(), 20u);
	testing::internal::CaptureStderr();
	EXPECT_EQ(web.code_of(web.give(*file, CLEAR)), NO_SUCH_COMMAND);
	EXPECT_EQ(web.code_of(web.give(*file, CLEAR)), NO_SUCH_COMMAND);
	std::string const said = testing::internal::GetCapturedStderr();
	EXPECT_THAT(said, HasSubstr("web may not give the TPM command Clear (0x126) through dev"));
	EXPECT_EQ(said.find("Clear"), said.rfind("Clear")) << "told once: " << said;
	EXPECT_EQ(web.give(*file, GET_RANDOM).size(), 20u);
	EXPECT_EQ(web.close(*file), Error{});
	Client_domain work(world, "work", "dev");
	auto const other = work.open("tpm0");
	ASSERT_TRUE(other);
	EXPECT_NE(work.code_of(work.give(*other, CLEAR)), NO_SUCH_COMMAND) << "the TPM's own answer";
	EXPECT_EQ(work.close(*other), Error{});
}

TEST_F(Files_with_tpm, frees_what_a_client_held_that_dies)
{
	ASSERT_TRUE(world.start());
	Client_domain work(world, "work", "dev");
	{
		Client_domain web(world, "web", "dev");
		ASSERT_TRUE(web.open("tpm0"));
		EXPECT_EQ(work.error_of_open("tpm0"), Error::BUSY) << "it is opened exclusively";
	}
	// The death is seen in the loop, as everything.
	std::optional<remote::Remote_file> file;
	while (!(file = work.open("tpm0"))) world.turn();
	EXPECT_EQ(work.give(*file, GET_RANDOM).size(), 20u);
	EXPECT_EQ(work.close(*file), Error{});
}

/* What is on the log of a component that can't start. */
std::string trouble_of(std::string const &config, bool with_tpm = false)
{
	World world(config);
	if (with_tpm) world.give_tpm("wire");
	testing::internal::CaptureStderr();
	EXPECT_FALSE(world.start());
	return testing::internal::GetCapturedStderr();
}

TEST(Files_config, faults_have_place_and_remedy)
{
	std::string const said =
		trouble_of(text(RAM, "[export.dev]\npath = \"/data\"\nreadonly = true\n"));
	EXPECT_THAT(said, HasSubstr("config of tpm:9:1: unknown key 'readonly' in [export.dev]"));
	EXPECT_THAT(said, HasSubstr("did you mean 'read_only'?"));
	EXPECT_THAT(said, HasSubstr("    9 | readonly = true"));
}

TEST(Files_config, tells_what_a_component_has_not)
{
	EXPECT_THAT(
		trouble_of("[plugin.x]\npath = \"x.so\"\n"), HasSubstr("1:2: a component loads no"));
	EXPECT_THAT(trouble_of("[serve]\nmount = \"/x\"\n"), HasSubstr("1:2: unknown section 'serve'"));
	EXPECT_THAT(trouble_of("[file.\"/x\"]\nplugin = \"host\"\npath = \"/\"\n[export.a]\n"),
		HasSubstr("2:1: the plugin 'host' isn't there"));
	EXPECT_THAT(trouble_of(std::string(RAM)), HasSubstr("nothing is served"));
	EXPECT_THAT(trouble_of("[bus.a]\ncontroller = \"sim\"\n[export.a]\n"),
		HasSubstr("2:1: 'swtpm' is missing in [bus.a]"));
	EXPECT_THAT(trouble_of("[bus.a]\ncontroller = \"spidev\"\n[export.a]\n"),
		HasSubstr("2:1: 'device' is missing in [bus.a]"));
	EXPECT_THAT(
		trouble_of(text(TPM, "[export.dev]\n")), HasSubstr("was not given a device 'wire'"));
}

TEST(Files_config, checks_what_is_exported)
{
	auto const of = [](std::string_view more) { return trouble_of(text(RAM, more)); };
	EXPECT_THAT(of("[export.a]\npath = \"/nowhere\"\n"), HasSubstr("8:1: /nowhere: "));
	EXPECT_THAT(of("[export.a]\npath = \"/data2/greeting\"\n"), HasSubstr("is no directory"));
	EXPECT_THAT(of("[export.a]\npath = \"..\"\n"), HasSubstr("can't be the name of a file"));
	EXPECT_THAT(of("[export.\"a b\"]\n"), HasSubstr("'a b' can't be asked for"));
	EXPECT_THAT(of("[export.a]\nnodes = []\n"), HasSubstr("'nodes' is an empty list"));
	EXPECT_THAT(of("[export.a]\nnodes = [\"../x\"]\n"), HasSubstr("'nodes' can't be used"));
	EXPECT_THAT(of("[[export.a.clients]]\ndomain = \"x\"\n"), HasSubstr("unknown section"));
	EXPECT_THAT(of("[[export.a.client]]\nread_only = true\n"), HasSubstr("'domain' is missing"));
	EXPECT_THAT(of("[[export.a.client]]\ndomain = \"*\"\n[[export.a.client]]\ndomain = \"x\"\n"),
		HasSubstr("10:1: an earlier [[export.a.client]] decides for 'x' already"));
	EXPECT_THAT(of("[[export.a.client]]\ndomain = \"x\"\naddresses = [1, \"2\"]\n"),
		HasSubstr("9:1: 'addresses' holds something that is no address"));
	EXPECT_THAT(of("[[export.a.client]]\ndomain = \"x\"\ntpm_commands = [\"GetRandon\"]\n"),
		HasSubstr("did you mean 'GetRandom'?"));
	EXPECT_THAT(
		of("[[export.a.client]]\ndomain = \"x\"\ntpm_commands = [1]\n"), HasSubstr("no command"));
}

} // namespace
} // namespace bulkhead::files
