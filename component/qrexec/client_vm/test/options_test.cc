#include "component/qrexec/client_vm/options.h"
#include "rpc/qrexec/message.h"

#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

struct Result
{
	std::optional<Client_vm_options> options{};
	std::string why{};
	int status = 0;
};

Result read(std::vector<std::string> words)
{
	words.insert(words.begin(), "qrexec-client-vm");
	std::vector<char *> arguments;
	for (std::string &word : words) arguments.push_back(word.data());
	arguments.push_back(nullptr);
	Result result;
	result.options = read_client_vm_options(
		static_cast<int>(words.size()), arguments.data(), result.why, result.status);
	return result;
}

TEST(Client_vm_options, name_target_and_service)
{
	auto const read_ones = read({"vault", "test.Add+x"}).options;
	ASSERT_TRUE(read_ones);
	EXPECT_EQ(read_ones->target, "vault");
	EXPECT_EQ(read_ones->service, "test.Add+x");
	EXPECT_TRUE(read_ones->program.empty());
	EXPECT_FALSE(read_ones->replace_characters.has_value());
}

TEST(Client_vm_options, leave_those_of_the_local_program_alone)
{
	auto const read_ones = read({"-t", "vault", "test.Add", "/bin/cat", "-T", "--help"}).options;
	ASSERT_TRUE(read_ones);
	EXPECT_EQ(read_ones->program, (std::vector<std::string>{"/bin/cat", "-T", "--help"}));
	EXPECT_EQ(read_ones->replace_characters, true);
	EXPECT_FALSE(read_ones->replace_error_characters.has_value());
}

TEST(Client_vm_options, take_old_keywords)
{
	EXPECT_EQ(read({"$dispvm:work", "s"}).options->target, "@dispvm:work");
	EXPECT_EQ(read({"", "s"}).options->target, "");
}

TEST(Client_vm_options, are_upstreams)
{
	auto const all = read({"--buffer-size=0x10000", "--no-filter-escape-chars-stdout", "-T",
		"--agent-socket=/a", "-p", "x", "--source-qube=far", "--use-stdin-socket", "--", "a", "b"});
	ASSERT_TRUE(all.options) << all.why;
	EXPECT_EQ(all.options->ring_bytes, 65536u);
	EXPECT_EQ(all.options->replace_characters, false);
	EXPECT_EQ(all.options->replace_error_characters, true);
	EXPECT_EQ(all.options->agent_socket, "/a");
	EXPECT_EQ(all.options->prefix, "x");
	EXPECT_EQ(all.options->source, "far");
	EXPECT_TRUE(all.options->stdin_is_socket);
}

TEST(Client_vm_options, that_are_wrong_are_explained)
{
	for (std::vector<std::string> const &wrong :
		{std::vector<std::string>{}, {"vault"}, {"--none", "a", "b"}, {"--agent-socket"},
			{"-p", "x", "-p", "y", "a", "b"}, {"--use-stdin-socket", "a", "b", "/bin/cat"}}) {
		Result const result = read(wrong);
		EXPECT_FALSE(result.options);
		EXPECT_FALSE(result.why.empty());
		EXPECT_EQ(result.status, 2);
	}
	for (char const *const size : {"", "x", "1x", "-1", "99999999999999999999", "67108865"}) {
		Result const result = read({"--buffer-size=" + std::string(size), "a", "b"});
		EXPECT_FALSE(result.options) << size;
		EXPECT_EQ(result.status, EXIT_TROUBLE) << size;
	}
}

} // namespace
} // namespace bulkhead::qrexec
