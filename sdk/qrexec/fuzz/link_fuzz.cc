// What a daemon or an agent answers, in two bites: the first byte says who it is and what comes
// along, the second where it is cut.

#include "platform/linux/gate.h"
#include "sdk/qrexec/link.h"
#include "sdk/qrexec/local_socket.h"

#include <cstdlib>
#include <sys/socket.h>

using namespace bulkhead;
using namespace bulkhead::qrexec;
using linux_host::Owned_fd;

namespace {

struct Place
{
	char directory[64] = "/tmp/bulkhead-link-fuzz-XXXXXX";
	std::string path{};
	Owned_fd listener{};

	Place()
	{
		if (!mkdtemp(directory)) abort();
		path = std::string(directory) + "/qrexec.x";
		if (listen_locally(path, 0600, listener) != 0) abort();
	}
	Place(Place const &) = delete;
	Place &operator=(Place const &) = delete;
	~Place()
	{
		unlink(path.c_str());
		rmdir(directory);
	}
};

void say(Owned_fd const &to, Bytes bytes)
{
	static_cast<void>(send(to.value(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

// So many descriptors, which begin as those of an end.
void say_with(Owned_fd const &to, Bytes bytes, size_t descriptors)
{
	static auto const pair = linux_host::make_channel({.to_client = 4096, .to_server = 4096}, 1);
	if (!pair.ok()) abort();
	linux_host::Channel_end const &end = pair.value().server;
	int const all[7]{end.memory.value(), end.bell.out(), end.bell.in(), end.bell.in(), 0, 1, 2};
	if (descriptors == 0 || bytes.empty()) return say(to, bytes);
	static_cast<void>(linux_host::send_with_descriptors(
		to.value(), {&bytes, 1}, std::span(all).first(descriptors)));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	static Place place;
	if (size < 2 || size > 1000) return 0;
	Bytes const said = Bytes(data, size).subspan(2);
	bool const daemon = data[0] & 1, port = data[0] & 2;
	qrexec::Link link;
	auto const asked = daemon
		? link.ask_daemon(place.directory, "x", port ? Type::SERVICE_CONNECT : Type::EXEC_CMDLINE,
			  {1, port ? 513U : 0U}, "u:c")
		: link.ask_agent(place.path, {.service = "s"});
	if (!asked.ok()) abort();
	Owned_fd peer(accept4(place.listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
	size_t const cut = data[1] % (said.size() + 1);
	say_with(peer, said.first(cut), data[0] >> 2 & 7);
	auto result = link.look();
	if (result.ok()) {
		say(peer, said.subspan(cut));
		peer.reset();
		for (int i = 0; i < 3 && result.ok() && result.value() != qrexec::Link::State::ENDED; ++i)
			result = link.look();
	}
	// Every conversation has ended one way or the other.
	if (result.ok() ? result.value() != qrexec::Link::State::ENDED : link.message().empty())
		abort();
	if (link.fd() != -1) abort();
	auto const end = link.take_end();
	if (end && (daemon || !end->memory || link.take_end())) abort();
	return 0;
}
