#pragma once

// How the command ends: its exit codes, as the manual page has them, and what it says to the one
// who asked.

#include <string>

namespace bulkhead::tool {

enum class Exit : int {
	OK = 0,
	FAILURE = 1, // something went wrong while running
	USAGE = 2, // the command line
	MANIFEST = 3, // the manifest
	MOUNT_POINT = 4, // missing, in use or not empty
	FUSE = 5, // the machine has none, or it isn't permitted
	DEVICE = 6, // a bus or a device: missing, busy, or not what the manifest says
	CONNECT = 7, // vchan: the two sides have not found each other
	PEER_DIED = 8, // vchan: the other side, before its end
	PEER_BROKE = 9, // vchan: the other side, the protocol
	POLICY = 10, // policy: it has faults
};

/* Why something wasn't done. */
struct Trouble
{
	Exit exit;
	std::string what; // one sentence without its full stop
	std::string remedy = {};
};

} // namespace bulkhead::tool
