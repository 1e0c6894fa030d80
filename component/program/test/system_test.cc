// Domains of programs as a broker runs them: in sandboxes, with calls and files between them.

#include "component/broker/test/running_system.h"

namespace bulkhead::broker::test {
namespace {

TEST(Program_domains, call_each_other)
{
	Running_system system;
	ASSERT_NO_FATAL_FAILURE(system.start("[domain.vault]\n" + PROGRAMS_SEE +
		"[domain.vault.service.\"vault.Sign\"]\ncommand = [\"/bin/sh\", \"-c\", \"cat; echo signed "
		"for "
		"$QREXEC_REMOTE_DOMAIN with $1; exit 3\", \"sh\"]\n"
		"[domain.work]\n" +
		PROGRAMS_SEE +
		"[domain.work.service.\"work.Forward\"]\ncommand = [\"/client/qrexec-client-vm\", "
		"\"vault\", "
		"\"vault.Sign+key\"]\n"
		"[domain.work.service.\"work.Try\"]\ncommand = [\"/client/qrexec-client-vm\", \"vault\", "
		"\"vault.Other\"]\n"));
	std::string output;
	EXPECT_EQ(system.call("work", "work.Forward", "a text, ", output), 3);
	EXPECT_EQ(output, "a text, signed for work with key\n");
	output.clear();
	EXPECT_EQ(system.call("work", "work.Try", {}, output), 126);
	EXPECT_EQ(output, "");
	system.stop();
}

TEST(Program_domains, see_the_files_of_a_domain_that_comes_and_goes)
{
	Running_system system;
	ASSERT_NO_FATAL_FAILURE(system.start(
		"[domain.files]\ncomponent = \"files\"\nservices = [\"bulkhead.File\"]\nrestart = "
		"\"always\"\n"
		"config = '''\n[file.\"/data\"]\nplugin = \"ram\"\nsize = \"1 MiB\"\n"
		"[file.\"/text/greeting\"]\nplugin = \"inline\"\ntext = \"hello\"\n[export.all]\n'''\n"
		"[domain.work]\n" +
		PROGRAMS_SEE +
		"[domain.work.service.\"work.Read\"]\ncommand = [\"/bin/cat\", \"/f/text/greeting\"]\n"
		"[domain.work.service.\"work.Write\"]\ncommand = [\"/bin/dd\", \"of=/f/data/x\", "
		"\"status=none\"]\n"
		"[domain.work.mount.\"/f\"]\ndomain = \"files\"\nname = \"all\"\n"));
	std::string output;
	EXPECT_EQ(system.call("work", "work.Read", {}, output), 0);
	EXPECT_EQ(output, "hello");
	EXPECT_EQ(system.call("work", "work.Write", std::string(100'000, 'x'), output), 0);

	int64_t const killed = system.status_of("files").pid;
	ASSERT_GT(killed, 1);
	ASSERT_EQ(kill(static_cast<pid_t>(killed), SIGKILL), 0);
	// The one that is restarted is asked anew.
	system.until("the files of the next one", [&] {
		output.clear();
		return system.call("work", "work.Read", {}, output) == 0;
	});
	EXPECT_EQ(output, "hello");
	EXPECT_NE(system.status_of("files").pid, killed);
	system.stop();
}

TEST(Program_domains, write_to_their_log_and_end_when_they_are_told)
{
	Running_system system;
	ASSERT_NO_FATAL_FAILURE(system.start("[domain.work]\n" + PROGRAMS_SEE +
		"program = [\"/bin/sh\", \"-c\", \"trap 'echo asked to end; exit' TERM; echo out; echo "
		"error >&2; "
		"while :; do sleep 0.01; done\"]\nrestart = \"never\"\n"));
	system.until("its log", [&] {
		std::string const log = system.log_of("work");
		return log.contains("out\n") && log.contains("error\n");
	});
	ASSERT_TRUE(system.ask(domain::Admin::STOP, "work"));
	system.until(
		"its last words", [&] { return system.log_of("work").contains("asked to end\n"); });
	system.stop();
}

TEST(Program_domains, that_have_done_their_work_are_not_started_again)
{
	Running_system system;
	ASSERT_NO_FATAL_FAILURE(system.start("[domain.done]\n" + PROGRAMS_SEE +
		"program = [\"/bin/true\"]\n[domain.fails]\n" + PROGRAMS_SEE +
		"program = [\"/bin/false\"]\n"));
	system.until("the end of both", [&] {
		return system.status_of("done").state == "stopped" && system.status_of("fails").starts > 1;
	});
	EXPECT_EQ(system.status_of("done").starts, 1U);
	EXPECT_EQ(system.status_of("done").last_end, "exit code 0");
	EXPECT_EQ(system.status_of("fails").last_end, "exit code 1");
	system.stop();
}

} // namespace
} // namespace bulkhead::broker::test
