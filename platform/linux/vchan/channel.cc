#include "platform/linux/vchan/channel.h"

#include "platform/linux/vchan/sealed_memory.h"

#include <cerrno>
#include <fcntl.h>

namespace bulkhead::linux_host {

Attempt<Channel_pair, Connect_error> make_channel(vchan::Sizes wanted, uint32_t generation)
{
	auto const sizes = vchan::rounded(wanted);
	vchan::Control control{};
	if (!sizes.ok() || !vchan::format(control, sizes.value(), generation).ok())
		return Connect_error::BAD_SIZE;
	Owned_fd memory = TRY(Sealed_memory::create(vchan::region_bytes(sizes.value())));
	// To map it, only to write to it once, takes twice as long as all of the rest.
	ssize_t const written = pwrite(memory.value(), &control, sizeof(control), 0);
	Owned_fd second{fcntl(memory.value(), F_DUPFD_CLOEXEC, 0)};
	Owned_fd to_client, client_hears, to_server, server_hears;
	if (written != sizeof(control) || !second || !Bell::connect(to_client, client_hears) ||
		!Bell::connect(to_server, server_hears))
		return connect_error_of_errno(errno);
	return Channel_pair{{std::move(memory), Bell(std::move(to_client), std::move(server_hears)),
							vchan::Role::SERVER, generation},
		{std::move(second), Bell(std::move(to_server), std::move(client_hears)),
			vchan::Role::CLIENT, generation}};
}

} // namespace bulkhead::linux_host
