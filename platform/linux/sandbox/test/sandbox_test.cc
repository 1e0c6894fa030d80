#include "platform/linux/sandbox/test/inmate.h"

#include <gmock/gmock.h>

using namespace bulkhead;
using namespace bulkhead::linux_host;
using testing::HasSubstr;
using testing::Not;

namespace {

Ended run_inmate(std::vector<std::string> arguments)
{
	Sandbox sandbox = sandbox_of(INMATE, std::move(arguments), {"@talk"});
	return run(sandbox);
}

TEST(Sandbox, runs_a_static_program_as_the_first_process_of_an_empty_world)
{
	Ended const ended = run_inmate({"describe"});
	EXPECT_EQ(ended.why, "");
	EXPECT_EQ(ended.status, 0);
	EXPECT_THAT(
		ended.output, HasSubstr("pid=1\nuid=1000\ngid=1000\nfd 0\nfd 1\nfd 2\nfiles=1024\n"));
}

} // namespace
