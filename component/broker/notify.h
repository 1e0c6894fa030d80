#pragma once

// What goes between a broker and its keeper (keeper.h): descriptors that are kept for the broker
// that comes after this one, and what systemd is to know.

#include "platform/linux/descriptor.h"

#include <csignal>
#include <map>
#include <string>
#include <string_view>

namespace bulkhead::broker {

/*
 * Variables of the broker's environment: this and the number of a descriptor; the value is its
 * name. By KEEPER's it sends: a name, with the descriptor to be kept; FORGET and a name; or lines
 * for systemd, as sd_notify(3) has them.
 */
inline constexpr std::string_view KEPT = "BULKHEAD_KEPT_";
inline constexpr char KEEPER[] = "keeper";
inline constexpr std::string_view FORGET = "forget ";

/* What a broker gets when its keeper has ended. */
inline constexpr int KEEPER_ENDED = SIGUSR1;

/* A keeper that hears nothing for longer takes its broker for one that hangs. */
inline constexpr uint64_t SILENCE_US = 30'000'000;

/* By name. */
using Descriptors = std::map<std::string, linux_host::Owned_fd, std::less<>>;

/* What was kept, and KEEPER: empty in a process that no keeper has started. Once in a process. */
Descriptors take_kept();

/* The broker's side. Of one thread. */
class Notify
{
private:
	linux_host::Owned_fd _keeper;

	void _send(std::string_view text, int descriptor = -1);

public:
	explicit Notify(linux_host::Owned_fd keeper) : _keeper(std::move(keeper)) {}

	/* Lines as "READY=1". */
	void tell(std::string_view lines) { _send(lines); }

	/* Has a descriptor kept until it is forgotten by its name. */
	void store(std::string_view name, int descriptor) { _send(name, descriptor); }
	void forget(std::string_view name) { _send(std::string(FORGET).append(name)); }
};

} // namespace bulkhead::broker
