#pragma once

// Why two domains did not find each other, or why what one handed to the other is of no use.

#include "base/error.h"

#include <cstdint>
#include <string_view>

namespace bulkhead::linux_host {

enum class Connect_error : uint8_t {
	// Of what was asked for.
	BAD_SIZE = 1, // rings of 0 bytes both ways, or above 64 MiB
	BAD_NAME, // a domain or port below 0
	SELF, // a domain and itself, though that was not asked for (Within_domain)

	// Of the directory where domains meet.
	NO_DIRECTORY,
	UNSAFE_DIRECTORY, // others could replace what is in it
	BAD_RULES, // its access rules can't be read
	LOCKED, // another process keeps it locked
	DIRECTORY_FULL,
	NAME_IN_USE, // another server waits under this name

	// Of the peer.
	NOT_ALLOWED, // by the rules, its user, or ours, isn't the domain that it says
	PEER_VERSION, // it speaks another version, or another protocol
	BAD_MESSAGE, // it says what makes no sense
	BAD_MEMORY, // the memory it hands over isn't sealed, or no vchan is in it
	CROWDED, // too many clients wait for this server at once

	// Of this machine.
	TOO_MANY_OPEN, // limit of descriptors
	TOO_MANY_WATCHES, // limit of inotify
	OUT_OF_MEMORY,
	SYSTEM, // what else a system call has said, see the message
};

/* The error in words, without the particulars that a message has. */
std::string_view name_of(Connect_error);

/* What a system call of this machine has said. */
Connect_error connect_error_of_errno(int number);

/* What the outside sees. */
bulkhead::Error convert_error(Connect_error, Into<bulkhead::Error>);

} // namespace bulkhead::linux_host
