#include "domain/manifest/program_config.h"

#include <gtest/gtest.h>

using namespace bulkhead;
using namespace bulkhead::domain;

namespace {

bool valid(std::string const &lines)
{
	return read_program_config("bulkhead-program 1\n" + lines).ok();
}

} // namespace

TEST(Program_config, reads_what_was_written)
{
	Program_config config;
	config.program = {"/usr/bin/thing", "", "a b", "line\nbreak", "back\\slash\\n"};
	config.environment = {"A=", "B=x=y"};
	config.commands = {{"vault.Sign", {"/bin/sh", "-c", "true\n"}}, {"*", {"/bin/cat"}}};
	config.mounts = {{"/tpm", "tpm", "dev"}, {"/other", "files", "x"}};
	auto const read = read_program_config(to_text(config));
	ASSERT_TRUE(read.ok());
	EXPECT_EQ(config, read.value());
}

TEST(Program_config, may_be_of_a_domain_without_anything)
{
	auto const read = read_program_config(to_text({}));
	ASSERT_TRUE(read.ok());
	EXPECT_EQ(Program_config{}, read.value());
}

TEST(Program_config, refuses_what_no_writer_writes)
{
	EXPECT_TRUE(valid("program \nargument /a\n"));
	EXPECT_FALSE(read_program_config("").ok());
	EXPECT_FALSE(read_program_config("bulkhead-program 2\n").ok());
	EXPECT_FALSE(read_program_config("bulkhead-program 1").ok());
	EXPECT_FALSE(read_program_config(std::string(PROGRAM_CONFIG_MAX + 1, 'x')).ok());
	for (char const *const lines : {
			 "program \n", // nothing to run
			 "program \nargument /a\nprogram \nargument /b\n",
			 "program x\nargument /a\n",
			 "argument /a\n", // of nothing
			 "service s\n",
			 "service \nargument /a\n",
			 "mount /m\nargument /a\n",
			 "mount /m\ndomain d\n",
			 "mount /m\nname n\n",
			 "mount \ndomain d\nname n\n",
			 "mount /m\ndomain d\ndomain e\nname n\n",
			 "service s\nargument /a\ndomain d\n",
			 "environment A\n",
			 "other x\n",
			 "environment\n",
			 "environment A=\\x\n",
			 "environment A=\\\n",
			 "environment A=",
			 "\n",
		 }) {
		EXPECT_FALSE(valid(lines)) << lines;
	}
	using namespace std::string_literals;
	EXPECT_FALSE(valid("environment A=\0\n"s));
}
