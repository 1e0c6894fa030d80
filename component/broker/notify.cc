#include "component/broker/notify.h"

#include "platform/linux/gate.h"

#include <cstdlib>
#include <fcntl.h>
#include <poll.h>

namespace bulkhead::broker {

Descriptors take_kept()
{
	Descriptors kept;
	for (char **each = environ; *each; ++each) {
		std::string_view const variable = *each;
		if (!variable.starts_with(KEPT)) continue;
		int const fd = atoi(variable.data() + KEPT.size());
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		kept[std::string(variable.substr(variable.find('=') + 1))].reset(fd);
	}
	return kept;
}

void Notify::_send(std::string_view text, int descriptor)
{
	Bytes const message[] = {bytes_of(text)};
	int const descriptors[] = {descriptor};
	std::span<int const> const given(descriptors, descriptor >= 0 ? 1 : 0);
	while (true) {
		auto const sent = linux_host::send_with_descriptors(_keeper.value(), message, given);
		if (sent.ok() || sent.error() != Error::WOULD_BLOCK) return;
		// It is trusted to read on, and what is lost here would be missing later.
		pollfd waiting{_keeper.value(), POLLOUT, 0};
		(void)poll(&waiting, 1, -1);
	}
}

} // namespace bulkhead::broker
