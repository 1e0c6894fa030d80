// Streams between a caller and a command that the agent runs.

#include "component/qrexec/test/agent_world.h"

#include <csignal>

namespace bulkhead::qrexec::test {
namespace {

class Qrexec_agent_streams : public Agent_programs
{};

INSTANTIATE_TEST_SUITE_P(, Qrexec_agent_streams, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_agent_streams, keep_output_and_errors_apart)
{
	Wire wire = run("echo stdout; echo stderr >&2");
	wire.send(DATA_STDIN);
	EXPECT_EQ(by_type(wire.receive_all()),
		(std::vector<Message>{{DATA_STDOUT, "stdout\n"}, {DATA_STDOUT}, {DATA_STDERR, "stderr\n"},
			{DATA_STDERR}, exit_code(0)}));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, carry_data_at_once)
{
	Wire wire = run("cat");
	for (char const *const data : {"data 1", "data 2"}) {
		wire.send(DATA_STDIN, data);
		EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, data}));
	}
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output(""));
}

TEST_P(Qrexec_agent_streams, take_data_in_chunks_of_every_size)
{
	Wire wire = run("cat");
	std::string sent;
	for (size_t const size : {1, 2, 4095, 4096, 4097, 65535, 65536}) {
		std::string const chunk(size, static_cast<char>('a' + sent.size() % 26));
		sent += chunk;
		wire.send(DATA_STDIN, chunk);
	}
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output(sent));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, send_an_old_caller_small_chunks)
{
	start_agent();
	ask_for(EXEC_CMDLINE, me() + ":cat");
	Wire wire = caller(CALL_PORT, 2);
	std::string sent;
	for (unsigned i = 0; i < 10; ++i) {
		std::string const chunk(4096, static_cast<char>('a' + i));
		sent += chunk;
		wire.send(DATA_STDIN, chunk);
	}
	wire.send(DATA_STDIN);
	std::string got;
	while (auto const message = wire.receive()) {
		EXPECT_LE(message->body.size(), 4096u);
		if (message->type == DATA_STDOUT) got += message->body;
	}
	EXPECT_EQ(got, sent);
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, survive_a_command_that_reads_no_more)
{
	std::string const fifo = world.fifo("go");
	Wire wire = run("read x; exec </dev/null; echo closed stdin; read x <" + fifo);
	wire.send(DATA_STDIN, "data 1\n");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "closed stdin\n"}));
	wire.send(DATA_STDIN, "data 2\n");
	wire.send(DATA_STDIN);
	wire.flush();
	release(fifo);
	EXPECT_EQ(wire.receive_output(), output(""));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, wait_for_a_command_that_doesnt_read_yet)
{
	std::string const fifo = world.fifo("go");
	Wire wire = run("read x <" + fifo + "; cat");
	std::string sent;
	for (unsigned i = 0; i < 8; ++i) {
		std::string const chunk(32768, static_cast<char>('a' + i));
		sent += chunk;
		wire.send(DATA_STDIN, chunk);
	}
	wire.send(DATA_STDIN);
	release(fifo);
	EXPECT_EQ(wire.receive_output(), output(sent));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, end_each_by_itself)
{
	Wire wire = run("read x; echo closing stdout; exec >&-; read x; echo closing stderr >&2; "
					"exec 2>&-; read code; exit $code");
	wire.send(DATA_STDIN, "\n");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "closing stdout\n"}));
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT}));
	wire.send(DATA_STDIN, "\n");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDERR, "closing stderr\n"}));
	EXPECT_EQ(wire.receive(), (Message{DATA_STDERR}));
	wire.send(DATA_STDIN, "42\n");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive(), exit_code(42));
	EXPECT_TRUE(wire.ended());
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, of_a_service_end_each_by_itself)
{
	world.script(vm, "rpc", "qubes.Service",
		"read x\necho closing stdout\nexec >/dev/null\nread x\necho closing stderr >&2\n"
		"exec 2>/dev/null\nread code\nexit $code\n");
	Wire wire = call("qubes.Service");
	wire.send(DATA_STDIN, "\n");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "closing stdout\n"}));
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT}));
	wire.send(DATA_STDIN, "\n");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDERR, "closing stderr\n"}));
	EXPECT_EQ(wire.receive(), (Message{DATA_STDERR}));
	wire.send(DATA_STDIN, "42\n");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive(), exit_code(42));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, go_over_standard_input_when_the_command_asks_for_it)
{
	Wire wire = run("kill -USR1 $QREXEC_AGENT_PID; echo hello world >&0; read x; "
					"echo \"received: $x\" >&0");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "hello world\n"}));
	wire.send(DATA_STDIN, "stdin\n");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("received: stdin\n"));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, of_one_call_alone_go_over_standard_input)
{
	start_agent();
	ask_for(EXEC_CMDLINE, me() + ":cat", 700);
	ask_for(EXEC_CMDLINE,
		me() + ":kill -USR1 $QREXEC_AGENT_PID; echo one >&0; read x; echo two >&0", 702);
	Wire other = caller(700);
	Wire wire = caller(702);
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "one\n"}));
	other.send(DATA_STDIN, "other");
	EXPECT_EQ(other.receive(), (Message{DATA_STDOUT, "other"}));
	wire.send(DATA_STDIN, "\n");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("two\n"));
	other.send(DATA_STDIN);
	EXPECT_EQ(other.receive_output(), output(""));
}

TEST_P(Qrexec_agent_streams, stay_open_as_long_as_somebody_holds_them)
{
	// The shell's child takes a copy of the input, as a shell gives it none.
	std::string const fifo = world.fifo("go");
	std::string const second = world.fifo("second");
	Wire wire = run("exec 3<&0; (read x <&3; echo stdin closed; read x <" + second +
		"; echo child exiting) & echo process waiting; read x <" + fifo +
		"; echo process exiting; exit 42");
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "process waiting\n"}));
	release(fifo);
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "process exiting\n"}));
	// When the process has gone, what is left of it sees the end of its input.
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "stdin closed\n"}));
	release(second);
	EXPECT_EQ(wire.receive_output(), output("child exiting\n", "", 42));
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, end_with_the_signal_that_a_command_died_of)
{
	Wire wire = run("kill -KILL $$");
	wire.send(DATA_STDIN);
	Output const got = wire.receive_output();
	EXPECT_TRUE(got.out_ended && got.err_ended);
	EXPECT_EQ(got.exit_code, 128u + SIGKILL);
	expect_terminated();
}

TEST_P(Qrexec_agent_streams, carry_every_exit_code)
{
	start_agent();
	for (uint32_t const code : {0, 1, 2, 125, 126, 127, 128, 200, 255}) {
		ask_for(EXEC_CMDLINE, me() + ":exit " + std::to_string(code));
		Wire wire = caller();
		wire.send(DATA_STDIN);
		EXPECT_EQ(wire.receive_output(), output("", "", code));
		wire.close();
		expect_terminated();
	}
}

TEST_P(Qrexec_agent_streams, of_a_caller_that_doesnt_read_stop_no_other_call)
{
	start_agent();
	ask_for(EXEC_CMDLINE, me() + ":exec yes", 700);
	Wire stuck = caller(700);
	for (int i = 0; i < 10; ++i) {
		ask_for(EXEC_CMDLINE, me() + ":echo here", 702);
		Wire wire = caller(702);
		wire.send(DATA_STDIN);
		EXPECT_EQ(wire.receive_output(), output("here\n"));
		wire.close();
		expect_terminated(702);
	}
	stuck.close();
	expect_terminated(700);
}

} // namespace
} // namespace bulkhead::qrexec::test
