#pragma once

// What a broker tells who watches over it: systemd, or the keeper (keeper.h), which speaks the same
// protocol, sd_notify(3). Above all it keeps descriptors for the broker that comes after this one.

#include "platform/linux/descriptor.h"

#include <map>
#include <string>
#include <string_view>

namespace bulkhead::broker {

/* The environment's name for the number of the socket to a keeper. */
inline constexpr char KEEPER_VARIABLE[] = "BULKHEAD_KEEPER";

/* Of one thread. What nobody wants to hear is thrown away. */
class Notify
{
private:
	linux_host::Owned_fd _socket{};
	bool _keeper = false;
	bool _stores = false;

	void _send(std::string_view text, int descriptor = -1);

public:
	Notify() = default;
	/* To whom the environment says. */
	static Notify of_environment();
	/* To systemd, if it has started this program. */
	static Notify of_systemd();

	/* Readable once the keeper has ended; -1: there is none. */
	int keeper() const { return _keeper ? _socket.value() : -1; }

	/* Lines as "READY=1". */
	void tell(std::string_view lines) { _send(lines); }

	/* Has a descriptor kept until it is forgotten by its name. */
	void store(std::string_view name, int descriptor);
	void forget(std::string_view name);
};

/* By name; those of one name are one. */
using Descriptors = std::map<std::string, linux_host::Owned_fd, std::less<>>;

/* The descriptors that were kept. Once in a process. */
Descriptors take_stored();

} // namespace bulkhead::broker
