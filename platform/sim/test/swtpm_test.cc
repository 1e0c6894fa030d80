// The register file and the wire with a real swtpm behind them, driven by register accesses as they
// are written down in the profile: no driver is involved.

#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/sim/swtpm_process.h"
#include "platform/sim/swtpm_source.h"
#include "platform/sim/tpm_wire.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::sim {
namespace {

using namespace ptp;

struct No_clock final : Clock
{
	uint64_t now_us() const override { return 0; }
};

/* Software that talks to a TPM on an SPI bus, one register access per transfer. */
class Swtpm_test : public testing::Test
{
protected:
	Swtpm_process process{};
	Swtpm swtpm{};
	Tpm_registers chip{swtpm};
	Tpm_wire wire{};
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	No_clock clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};

	void start(bool startup)
	{
		auto const started = process.start({.startup = startup});
		ASSERT_TRUE(started.ok()) << process.message();
		auto const connected = swtpm.connect(process.data_socket(), process.control_socket());
		ASSERT_TRUE(connected.ok()) << swtpm.message();
		wire.attach(0, chip);
	}

	void access(uint8_t direction, uint16_t address, spi::Segment data)
	{
		uint8_t header[4] = {static_cast<uint8_t>(direction | (data.size - 1)), 0xd4,
			static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
		spi::Segment const segments[] = {
			spi::Segment::in_place(header), spi::Segment::until(1, 1, 16), data};
		ASSERT_TRUE(sync_wait(job, device.transfer(job, segments)).ok());
	}

	std::vector<uint8_t> read(uint16_t address, size_t size)
	{
		std::vector<uint8_t> bytes(size);
		access(0x80, address, spi::Segment::in(bytes));
		return bytes;
	}

	void write(uint16_t address, std::vector<uint8_t> const &bytes)
	{
		access(0, address, spi::Segment::out(bytes));
	}

	uint32_t status(uint16_t base = 0)
	{
		auto const bytes = read(base | TPM_STS, 4);
		return load_le<uint32_t>(Bytes{bytes}.first<4>());
	}

	std::vector<uint8_t> transact(std::vector<uint8_t> const &command, uint16_t base = 0)
	{
		write(base | TPM_STS, {STS_COMMAND_READY});
		EXPECT_TRUE(status(base) & STS_COMMAND_READY);
		for (size_t at = 0; at < command.size(); at += 64) {
			auto const end = std::min(at + 64, command.size());
			write(base | TPM_DATA_FIFO,
				{command.begin() + static_cast<ptrdiff_t>(at),
					command.begin() + static_cast<ptrdiff_t>(end)});
		}
		EXPECT_FALSE(status(base) & STS_EXPECT);
		write(base | TPM_STS, {STS_TPM_GO});
		while (!(status(base) & STS_DATA_AVAIL) && !chip.dead()) {
			auto const waited = swtpm.wait();
			EXPECT_TRUE(waited.ok()) << swtpm.message();
		}
		auto response = read(base | TPM_DATA_FIFO, 10);
		size_t left = load_be<uint32_t>(Bytes{response}.subspan<2, 4>()) - 10;
		while (left) {
			auto const more = read(base | TPM_XDATA_FIFO, std::min<size_t>(left, 64));
			response.insert(response.end(), more.begin(), more.end());
			left -= more.size();
		}
		EXPECT_FALSE(status(base) & STS_DATA_AVAIL);
		return response;
	}
};

std::vector<uint8_t> const STARTUP = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0};
std::vector<uint8_t> const GET_RANDOM = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16};

uint32_t code_of(std::vector<uint8_t> const &response)
{
	return load_be<uint32_t>(Bytes{response}.subspan<6, 4>());
}

TEST_F(Swtpm_test, yields_random_bytes_after_startup)
{
	start(false);
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	EXPECT_EQ(code_of(transact(GET_RANDOM)), 0x100u); // TPM_RC_INITIALIZE
	EXPECT_EQ(code_of(transact(STARTUP)), 0u);
	auto const first = transact(GET_RANDOM);
	auto const second = transact(GET_RANDOM);
	EXPECT_EQ(code_of(first), 0u);
	EXPECT_EQ(first.size(), 28u);
	EXPECT_NE(first, second);
}

TEST_F(Swtpm_test, is_started_up_as_firmware_does_it)
{
	start(true);
	swtpm.blocking = true;
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	EXPECT_EQ(code_of(transact(GET_RANDOM)), 0u);
}

TEST_F(Swtpm_test, tells_the_tpm_from_which_locality_a_command_comes)
{
	start(true);
	// TPM2_PCR_Reset of PCR 21, with an empty password: for locality 2 only.
	std::vector<uint8_t> const reset = {
		0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x3d, 0, 0, 0, 21, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0};
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	EXPECT_EQ(code_of(transact(reset)), 0x907u) << "TPM_RC_LOCALITY";
	write(0x2000 | TPM_ACCESS, {ACCESS_SEIZE});
	EXPECT_EQ(code_of(transact(reset, 0x2000)), 0u);
	write(0x2000 | TPM_ACCESS, {ACCESS_ACTIVE_LOCALITY});
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	EXPECT_EQ(code_of(transact(reset)), 0x907u);
}

// TPM2_CreatePrimary of an RSA key of 2048 bits, which takes long enough to be cancelled.
std::vector<uint8_t> const CREATE_PRIMARY = {0x80, 2, 0, 0, 0, 67, 0, 0, 1, 0x31, 0x40, 0, 0, 1, 0,
	0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0x1a, 0, 1, 0, 0xb, 0, 3, 0, 0x72,
	0, 0, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

TEST_F(Swtpm_test, cancels_a_command)
{
	start(true);
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	write(TPM_STS, {STS_COMMAND_READY});
	write(TPM_DATA_FIFO, {CREATE_PRIMARY.begin(), CREATE_PRIMARY.begin() + 64});
	write(TPM_DATA_FIFO, {CREATE_PRIMARY.begin() + 64, CREATE_PRIMARY.end()});
	write(TPM_STS, {STS_TPM_GO});
	EXPECT_TRUE(swtpm.busy());
	write(TPM_STS, {0, 0, 0, STS_COMMAND_CANCEL >> 24});
	ASSERT_TRUE(swtpm.wait().ok()) << swtpm.message();
	auto const response = read(TPM_DATA_FIFO, 10);
	EXPECT_TRUE(code_of(response) == 0x909 || code_of(response) == 0) << code_of(response);
	// Whatever is left of the response is aborted, and the next command is answered.
	write(TPM_STS, {STS_COMMAND_READY});
	EXPECT_EQ(code_of(transact(GET_RANDOM)), 0u);
}

TEST_F(Swtpm_test, goes_on_after_an_abort)
{
	start(true);
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	write(TPM_STS, {STS_COMMAND_READY});
	write(TPM_DATA_FIFO, GET_RANDOM);
	write(TPM_STS, {STS_TPM_GO});
	write(TPM_STS, {STS_COMMAND_READY});
	while (!(status() & STS_COMMAND_READY)) ASSERT_TRUE(swtpm.wait().ok()) << swtpm.message();
	EXPECT_EQ(transact(GET_RANDOM).size(), 28u);
}

TEST_F(Swtpm_test, powers_the_tpm_on_again)
{
	start(true);
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	ASSERT_TRUE(swtpm.init().ok()) << swtpm.message();
	EXPECT_EQ(code_of(transact(GET_RANDOM)), 0x100u);
	EXPECT_EQ(code_of(transact(STARTUP)), 0u);
}

TEST_F(Swtpm_test, is_a_dead_chip_when_swtpm_dies_in_mid_command)
{
	start(true);
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	::kill(process.pid(), SIGSTOP);
	write(TPM_STS, {STS_COMMAND_READY});
	write(TPM_DATA_FIFO, GET_RANDOM);
	write(TPM_STS, {STS_TPM_GO});
	EXPECT_TRUE(swtpm.wait(1'000).ok());
	EXPECT_TRUE(swtpm.busy());
	process.kill();
	auto const result = swtpm.wait();
	ASSERT_FALSE(result.ok());
	EXPECT_EQ(result.error(), Swtpm_error::CLOSED);
	EXPECT_TRUE(chip.dead());
	EXPECT_FALSE(swtpm.connected());
	EXPECT_EQ(status(), ~0u);
	EXPECT_NE(swtpm.message().find("swtpm"), std::string::npos);
}

TEST_F(Swtpm_test, is_told_of_responses_by_a_loop)
{
	start(true);
	linux_host::Loop loop;
	Swtpm_source source{swtpm};
	ASSERT_TRUE(source.watch(loop).ok());
	write(TPM_ACCESS, {ACCESS_REQUEST_USE});
	write(TPM_STS, {STS_COMMAND_READY});
	write(TPM_DATA_FIFO, GET_RANDOM);
	write(TPM_STS, {STS_TPM_GO});
	while (swtpm.busy()) loop.poll(NEVER_US);
	EXPECT_EQ(code_of(read(TPM_DATA_FIFO, 10)), 0u);
	EXPECT_EQ(source.loop(), &loop);
}

TEST_F(Swtpm_test, leaves_the_loop_when_swtpm_ends)
{
	start(true);
	linux_host::Loop loop;
	Swtpm_source source{swtpm};
	ASSERT_TRUE(source.watch(loop).ok());
	process.stop();
	while (source.loop()) loop.poll(NEVER_US);
	EXPECT_FALSE(swtpm.connected());
}

TEST(Swtpm_process, removes_what_killed_ones_have_left)
{
	namespace fs = std::filesystem;
	char place[] = "/tmp/swtpm_test.XXXXXX";
	ASSERT_NE(mkdtemp(place), nullptr);
	setenv("TMPDIR", place, 1);
	fs::path const left = fs::path(place) / "bulkhead-swtpm-killed";
	fs::path const other = fs::path(place) / "somebody-elses";
	for (fs::path const &path : {left, other}) {
		fs::create_directory(path);
		std::ofstream(path / "log") << "last words";
	}
	{
		Swtpm_process running, next;
		ASSERT_TRUE(running.start().ok()) << running.message();
		EXPECT_FALSE(fs::exists(left));
		EXPECT_TRUE(fs::exists(other));
		ASSERT_TRUE(next.start().ok()) << next.message();
		EXPECT_TRUE(fs::exists(running.data_socket())) << "it is in use";
	}
	unsetenv("TMPDIR");
	fs::remove_all(other);
	EXPECT_TRUE(fs::remove(place)) << "nothing else is left";
}

TEST(Swtpm, says_what_keeps_it_from_connecting)
{
	Swtpm swtpm;
	EXPECT_EQ(swtpm.connect("/nonexistent/socket").error(), Swtpm_error::NO_SOCKET);
	EXPECT_EQ(swtpm.message(), "swtpm: '/nonexistent/socket': No such file or directory");
	EXPECT_EQ(swtpm.connect("127.0.0.1:1").error(), Swtpm_error::REFUSED);
	EXPECT_EQ(swtpm.connect("").error(), Swtpm_error::BAD_ADDRESS);
	EXPECT_EQ(swtpm.connect("localhost:").error(), Swtpm_error::BAD_ADDRESS);
	EXPECT_EQ(swtpm.connect(std::string(200, '/')).error(), Swtpm_error::BAD_ADDRESS);
	EXPECT_FALSE(swtpm.connected());
	EXPECT_EQ(swtpm.process().error(), Swtpm_error::CLOSED);
}

/* What listens where swtpm would, and answers what the test says. */
struct Impostor : testing::Test, Tpm_client
{
	int listening = -1;
	int connection = -1;
	std::vector<uint8_t> answer{};
	bool failure = false;
	Swtpm swtpm{};

	void response(Bytes bytes) override { answer.assign(bytes.begin(), bytes.end()); }
	void failed() override { failure = true; }

	void SetUp() override
	{
		sockaddr_in address{};
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		socklen_t size = sizeof(address);
		listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ASSERT_EQ(bind(listening, reinterpret_cast<sockaddr *>(&address), size), 0);
		ASSERT_EQ(listen(listening, 1), 0);
		getsockname(listening, reinterpret_cast<sockaddr *>(&address), &size);
		auto const where = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
		ASSERT_TRUE(swtpm.connect(where).ok()) << swtpm.message();
		connection = accept(listening, nullptr, nullptr);
		swtpm.submit(*this, 0, GET_RANDOM);
		uint8_t command[12];
		EXPECT_EQ(recv(connection, command, sizeof(command), MSG_WAITALL), 12);
	}

	void TearDown() override
	{
		for (int const fd : {listening, connection}) close(fd);
	}

	void say(std::vector<uint8_t> const &bytes)
	{
		EXPECT_EQ(send(connection, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
	}
};

TEST_F(Impostor, sends_a_response_in_pieces)
{
	std::vector<uint8_t> const response = {0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0, 42};
	for (size_t i = 0; i < response.size(); ++i) {
		EXPECT_TRUE(swtpm.busy());
		say({response[i]});
		while (swtpm.wait(1'000).ok() && i + 1 == response.size() && swtpm.busy()) {}
	}
	EXPECT_EQ(answer, response);
	EXPECT_FALSE(swtpm.busy());
}

TEST_F(Impostor, sends_a_size_that_no_response_has)
{
	say({0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0});
	EXPECT_EQ(swtpm.wait().error(), Swtpm_error::PROTOCOL);
	EXPECT_TRUE(failure);
	EXPECT_FALSE(swtpm.connected());
}

TEST_F(Impostor, sends_more_than_a_response)
{
	say({0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0, 1, 2, 3});
	EXPECT_EQ(swtpm.wait().error(), Swtpm_error::PROTOCOL);
	EXPECT_TRUE(failure);
}

TEST_F(Impostor, answers_without_being_asked)
{
	std::vector<uint8_t> const response = {0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0};
	say(response);
	EXPECT_TRUE(swtpm.wait().ok());
	EXPECT_EQ(answer, response);
	say(response);
	pollfd waiting{swtpm.fd(), POLLIN, 0};
	ASSERT_EQ(poll(&waiting, 1, 60'000), 1);
	EXPECT_EQ(swtpm.process().error(), Swtpm_error::PROTOCOL);
	EXPECT_FALSE(failure) << "nobody waited for it";
}

TEST_F(Impostor, closes_in_mid_response)
{
	say({0x80, 1, 0, 0});
	shutdown(connection, SHUT_RDWR);
	swtpm.blocking = true;
	swtpm.poll();
	EXPECT_TRUE(failure);
	EXPECT_NE(swtpm.message().find("closed"), std::string::npos) << swtpm.message();
}

TEST_F(Impostor, is_left_in_mid_command)
{
	EXPECT_FALSE(swtpm.connect("/nonexistent/socket").ok());
	EXPECT_TRUE(failure);
	EXPECT_FALSE(swtpm.busy());
	EXPECT_TRUE(swtpm.wait().ok());
}

TEST_F(Impostor, has_no_control_socket)
{
	EXPECT_EQ(swtpm.cancel_command().error(), Swtpm_error::NO_SOCKET);
	EXPECT_TRUE(swtpm.busy());
}

TEST(Swtpm, loses_patience)
{
	Swtpm_process process;
	ASSERT_TRUE(process.start().ok()) << process.message();
	Swtpm swtpm{{.command_ms = 20}};
	ASSERT_TRUE(swtpm.connect(process.data_socket()).ok());
	swtpm.blocking = true;
	Tpm_registers chip{swtpm};
	::kill(process.pid(), SIGSTOP);
	uint8_t const request = ACCESS_REQUEST_USE, ready = STS_COMMAND_READY, go = STS_TPM_GO;
	chip.write(TPM_ACCESS, {&request, 1});
	chip.write(TPM_STS, {&ready, 1});
	chip.write(TPM_DATA_FIFO, GET_RANDOM);
	chip.write(TPM_STS, {&go, 1});
	uint8_t status = 0;
	chip.read(TPM_STS, {&status, 1});
	EXPECT_TRUE(chip.dead());
	EXPECT_NE(swtpm.message().find("in time"), std::string::npos) << swtpm.message();
	process.kill();
}

TEST(Swtpm, fails_a_command_when_it_is_not_connected)
{
	Swtpm swtpm;
	Tpm_registers chip{swtpm};
	uint8_t const request = ACCESS_REQUEST_USE, ready = STS_COMMAND_READY, go = STS_TPM_GO;
	chip.write(TPM_ACCESS, {&request, 1});
	chip.write(TPM_STS, {&ready, 1});
	chip.write(TPM_DATA_FIFO, GET_RANDOM);
	chip.write(TPM_STS, {&go, 1});
	EXPECT_TRUE(chip.dead());
}

TEST(Swtpm_process, says_why_it_does_not_start)
{
	Swtpm_process process;
	EXPECT_EQ(process.start({.program = "no-such-swtpm"}).error(), Swtpm_error::NOT_INSTALLED);
	EXPECT_NE(process.message().find("apt-get install swtpm"), std::string::npos);
	EXPECT_EQ(process.start({.state = "/nonexistent"}).error(), Swtpm_error::NOT_STARTED);
	EXPECT_GT(process.message().size(), 30u);
	EXPECT_FALSE(process.running());
}

TEST(Swtpm_process, leaves_nothing_behind)
{
	Swtpm_process process;
	ASSERT_TRUE(process.start().ok()) << process.message();
	auto const directory = std::filesystem::path(process.data_socket()).parent_path();
	EXPECT_TRUE(std::filesystem::exists(directory));
	int const pid = process.pid();
	process.stop();
	EXPECT_FALSE(std::filesystem::exists(directory));
	EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Swtpm_process, ends_with_its_parent)
{
	int channel[2];
	ASSERT_EQ(pipe(channel), 0);
	pid_t const child = fork();
	if (child == 0) {
		Swtpm_process process;
		(void)process.start();
		char text[256] = {};
		int const pid = process.pid();
		memcpy(text, &pid, sizeof(pid));
		process.data_socket().copy(text + sizeof(pid), sizeof(text) - sizeof(pid) - 1);
		(void)!::write(channel[1], text, sizeof(text));
		pause();
		_exit(0);
	}
	char text[256];
	ASSERT_EQ(::read(channel[0], text, sizeof(text)), ssize_t{sizeof(text)});
	int pid = 0;
	memcpy(&pid, text, sizeof(pid));
	ASSERT_GT(pid, 0);
	pollfd ended{static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
	ASSERT_GE(ended.fd, 0);
	::kill(child, SIGKILL);
	waitpid(child, nullptr, 0);
	EXPECT_EQ(poll(&ended, 1, 60'000), 1);
	for (int const fd : {ended.fd, channel[0], channel[1]}) close(fd);
	// Another test's process may be removing it too.
	std::error_code ignored;
	std::filesystem::remove_all(std::filesystem::path(text + sizeof(pid)).parent_path(), ignored);
}

} // namespace
} // namespace bulkhead::sim
