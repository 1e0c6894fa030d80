#include "component/broker/test/support.h"

#include "base/sync_wait.h"
#include "sdk/qrexec/loop_channel.h"

#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <vector>

namespace bulkhead::broker::test {
namespace {

constexpr int HANG_MS = 60'000;

} // namespace

Operator::Operator(std::string const &socket)
{
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	strncpy(to.sun_path, socket.c_str(), sizeof(to.sun_path) - 1);
	linux_host::Owned_fd made{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
	if (connect(made.value(), reinterpret_cast<sockaddr *>(&to), sizeof(to)) != 0) return;
	_gate = linux_host::Gate(std::move(made), linux_host::Gate_takes::DESCRIPTORS);
	uint32_t type = 0;
	std::string body;
	std::array<uint8_t, 4> version;
	qrexec::encode_number(qrexec::VERSION, version);
	_send(static_cast<uint32_t>(qrexec::Type::HELLO), version);
	if (!_receive(type, body, {})) _gate.close();
}

void Operator::_send(uint32_t type, Bytes body)
{
	std::array<uint8_t, qrexec::Header::BYTES> header;
	encode(qrexec::Header{type, static_cast<uint32_t>(body.size())}, header);
	Bytes const parts[] = {header, body};
	(void)_gate.send(parts);
}

bool Operator::_receive(
	uint32_t &type, std::string &body, std::span<linux_host::Owned_fd> descriptors)
{
	std::array<uint8_t, domain::PACKET_MAX> packet;
	pollfd waiting{_gate.fd(), POLLIN, 0};
	if (poll(&waiting, 1, HANG_MS) != 1) return false;
	auto const received = _gate.receive(packet, descriptors);
	if (!received.ok() || received.value().bytes < qrexec::Header::BYTES) return false;
	Bytes const message = Bytes(packet).first(received.value().bytes);
	type = qrexec::decode_header(message).type;
	body = text_of(message.subspan(qrexec::Header::BYTES));
	return true;
}

Operator::Answer Operator::ask(domain::Admin what, std::string_view about)
{
	Answer answer;
	_send(static_cast<uint32_t>(what), bytes_of(about));
	uint32_t type = 0;
	std::string body;
	if (!_receive(type, body, {&answer.descriptor, 1})) return answer;
	EXPECT_EQ(type, static_cast<uint32_t>(domain::Admin::DONE));
	answer.error = static_cast<int>(qrexec::decode_number(bytes_of(body)));
	answer.text = body.substr(4);
	return answer;
}

nlohmann::json Operator::status()
{
	Answer const answer = ask(domain::Admin::STATUS);
	if (!answer.descriptor) return nullptr;
	std::string text;
	std::array<char, 65536> part;
	for (ssize_t size; (size = pread(answer.descriptor.value(), part.data(), part.size(),
							static_cast<off_t>(text.size()))) > 0;)
		text.append(part.data(), static_cast<size_t>(size));
	return nlohmann::json::parse(text);
}

nlohmann::json Operator::status_of(std::string_view domain)
{
	nlohmann::json const all = status();
	if (all.is_object())
		for (auto const &each : all["domains"])
			if (each["name"] == domain) return each;
	return nullptr;
}

linux_host::Channel_end Operator::call(std::string_view target, std::string_view service)
{
	std::array<uint8_t, domain::PACKET_MAX> packet;
	size_t const size = qrexec::encode_trigger(qrexec::VERSION,
		{.source = {}, .target = target, .ident = "1", .service = service}, packet);
	Bytes const parts[] = {Bytes(packet).first(size)};
	(void)_gate.send(parts);
	uint32_t type = 0;
	std::string body;
	std::array<linux_host::Owned_fd, domain::DESCRIPTORS> ends;
	if (!_receive(type, body, ends)) return {};
	if (type != static_cast<uint32_t>(qrexec::Type::SERVICE_CONNECT)) return {};
	return {.memory = std::move(ends[domain::MEMORY]),
		.bell =
			linux_host::Bell(std::move(ends[domain::BELL_OUT]), std::move(ends[domain::BELL_IN])),
		.role = vchan::Role::SERVER,
		.generation = qrexec::decode_exec_params(bytes_of(body)).port};
}

void System::SetUp()
{
	std::array<char, 32> name{"/tmp/broker_test_XXXXXX"};
	directory = mkdtemp(name.data());
}

void System::TearDown()
{
	if (_broker > 0) {
		signal(SIGTERM);
		(void)exit_code();
	}
	if (HasFailure()) std::cout << said();
	std::filesystem::remove_all(directory);
}

void System::write_file(std::string_view name, std::string_view text) const
{
	std::ofstream(path(name)) << text;
}

std::string System::read_file(std::string_view name) const
{
	std::ifstream file(path(name));
	return {std::istreambuf_iterator<char>(file), {}};
}

void System::write_manifest(std::string_view domains) const
{
	std::string const front = "[system]\nname = \"test\"\npermit_weaker = [\"landlock\", "
							  "\"memory_limit\", \"cpu_limit\", \"process_limit\"]\n";
	write_file("test.toml", front + extra + std::string(domains));
}

bool System::start(std::vector<std::string> const &more)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) != 0) return false;
	linux_host::Owned_fd const reads{ready[0]};
	linux_host::Owned_fd writes{ready[1]};
	constexpr int READY = 100;
	std::vector<std::string> texts{BROKER, "--ready-fd=" + std::to_string(READY),
		"--run-dir=" + path("run"), path("test.toml")};
	texts.insert(texts.end(), more.begin(), more.end());
	std::vector<char *> arguments;
	for (std::string &each : texts) arguments.push_back(each.data());
	arguments.push_back(nullptr);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, writes.value(), READY);
	std::string const log = path("said");
	posix_spawn_file_actions_addopen(
		&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	int const failed = posix_spawn(&_broker, BROKER, &actions, nullptr, arguments.data(), environ);
	posix_spawn_file_actions_destroy(&actions);
	if (failed) return false;
	writes.reset();
	std::array<char, 16> text;
	pollfd waiting{reads.value(), POLLIN, 0};
	return poll(&waiting, 1, HANG_MS) == 1 && read(reads.value(), text.data(), text.size()) > 0;
}

int System::exit_code()
{
	int status = 0;
	if (waitpid(std::exchange(_broker, -1), &status, 0) < 0) return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void System::signal(int number) const { kill(_broker, number); }

int System::stop()
{
	signal(SIGTERM);
	return exit_code();
}

int System::run(std::vector<std::string> const &more)
{
	(void)start(more);
	return exit_code();
}

bool System::until(std::function<bool()> const &so)
{
	for (int waited_ms = 0; waited_ms < HANG_MS; waited_ms += 5) {
		if (so()) return true;
		poll(nullptr, 0, 5);
	}
	return false;
}

bool System::until_state(Operator &from, std::string_view domain, std::string_view state)
{
	return until([&] {
		nlohmann::json const status = from.status_of(domain);
		return status.is_object() && status["state"] == state;
	});
}

std::string System::outcome(linux_host::Channel_end end, int &exit_code)
{
	linux_host::Loop loop;
	Job_with_arena<16384> job(loop.executor());
	qrexec::Loop_channel channel(loop);
	exit_code = -1;
	if (!channel.adopt(std::move(end), qrexec::Side::CALLER).ok()) return {};
	std::string text;
	auto const carry = [](Job &j, qrexec::Loop_channel &c, std::string &to) -> Task<int> {
		std::vector<uint8_t> part(4096); // not in the frame
		static_cast<void>(co_await c.finish(j));
		while (true) {
			auto const size = co_await c.read(j, part);
			if (!size.ok() || size.value() == 0) break;
			to.append(text_of(Bytes(part).first(size.value())));
		}
		co_return co_await c.exit_code(j);
	};
	auto const code = sync_wait(job, carry(job, channel, text), loop);
	if (code.ok()) exit_code = code.value();
	return text;
}

bool System::alive(int64_t pid) { return kill(static_cast<pid_t>(pid), 0) == 0; }

} // namespace bulkhead::broker::test
