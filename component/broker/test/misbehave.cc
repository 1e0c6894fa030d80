// A domain that does what its configuration says, mostly what no domain should: raw, without Env.

#include "domain/gate/message.h"
#include "platform/linux/gate.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace {

using namespace bulkhead;

linux_host::Gate gate{linux_host::Owned_fd(3), linux_host::Gate_takes::DESCRIPTORS};

std::string config()
{
	std::array<char, 4096> text;
	ssize_t const size = pread(4, text.data(), text.size(), 0);
	return std::string(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
}

void greet()
{
	std::array<uint8_t, 12> message{};
	Byte_writer writer(message);
	writer.u32_le(static_cast<uint32_t>(qrexec::Type::HELLO));
	writer.u32_le(4);
	writer.u32_le(qrexec::VERSION);
	Bytes const parts[] = {message};
	(void)gate.send(parts);
}

/* Until the broker closes the gate. */
void idle()
{
	std::array<uint8_t, domain::PACKET_MAX> packet;
	std::array<linux_host::Owned_fd, linux_host::Gate::DESCRIPTORS_MAX> descriptors;
	while (true) {
		pollfd waiting{gate.fd(), POLLIN, 0};
		(void)poll(&waiting, 1, -1);
		auto const received = gate.receive(packet, descriptors);
		if (received.ok() && received.value().bytes == 0) return;
	}
}

[[noreturn]] void flood_gate()
{
	std::array<uint8_t, domain::PACKET_MAX> packet;
	size_t const size = qrexec::encode_trigger(qrexec::VERSION,
		{.source = {}, .target = "quiet", .ident = "1", .service = "test.Any"}, packet);
	Bytes const parts[] = {Bytes(packet).first(size)};
	while (true) {
		auto const sent = gate.send(parts);
		if (sent.ok()) continue;
		if (sent.error() != Error::WOULD_BLOCK) exit(0);
		pollfd waiting{gate.fd(), POLLOUT, 0};
		(void)poll(&waiting, 1, -1);
	}
}

[[noreturn]] void flood_log(std::string const &text)
{
	pollfd ended{gate.fd(), 0, 0};
	while (poll(&ended, 1, 0) == 0) (void)!write(STDERR_FILENO, text.data(), text.size());
	exit(0);
}

} // namespace

int main()
{
	std::string const what = config();
	if (what == "wrong message") {
		Bytes const parts[] = {bytes_of("what is this?")};
		(void)gate.send(parts);
	}
	greet();
	if (what == "fail") return 3;
	if (what == "flood gate") flood_gate();
	if (what == "flood log") flood_log(std::string(1023, 'x') + "\n");
	if (what == "stubborn")
		while (true) pause();
	if (what.starts_with("say ")) (void)!write(STDERR_FILENO, what.data() + 4, what.size() - 4);
	idle();
	return 0;
}
