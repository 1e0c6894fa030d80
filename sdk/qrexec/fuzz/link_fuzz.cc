// What a daemon or an agent answers, in two bites: the first byte says who it is, the second where
// it is cut.

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

} // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	static Place place;
	if (size < 2 || size > 1000) return 0;
	Bytes const said = Bytes(data, size).subspan(2);
	bool const daemon = data[0] & 1, port = data[0] & 2;
	Link link;
	auto const asked = daemon
		? link.ask_daemon(place.directory, "x", port ? Type::SERVICE_CONNECT : Type::EXEC_CMDLINE,
			  {1, port ? 513U : 0U}, "u:c")
		: link.ask_agent(place.path, {.service = "s"});
	if (!asked.ok()) abort();
	Owned_fd peer(accept4(place.listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
	size_t const cut = data[1] % (said.size() + 1);
	say(peer, said.first(cut));
	auto result = link.look();
	if (result.ok()) {
		say(peer, said.subspan(cut));
		peer.reset();
		for (int i = 0; i < 3 && result.ok() && result.value() != Link::State::ENDED; ++i)
			result = link.look();
	}
	// Every conversation has ended one way or the other.
	if (result.ok() ? result.value() != Link::State::ENDED : link.message().empty()) abort();
	if (link.fd() != -1) abort();
	return 0;
}
