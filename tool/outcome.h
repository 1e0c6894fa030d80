#pragma once

// How the command ends: its exit codes, as the manual page has them, and what it says to the one
// who asked.

#include <string>
#include <utility>
#include <variant>

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
	SYSTEM = 11, // none runs, or it isn't clear which one is meant
	MACHINE = 12, // run, from the broker: it lacks what the manifest doesn't permit to lack
	RUNS = 13, // the same: the system runs already
};

/* Why something wasn't done. */
struct Trouble
{
	Exit exit;
	std::string what; // one sentence without its full stop
	std::string remedy = {};
};

/* A value, or why there is none. */
template <typename T>
class [[nodiscard]] Or_trouble
{
private:
	std::variant<T, Trouble> _is;

public:
	Or_trouble(T value) : _is(std::move(value)) {}
	Or_trouble(Trouble trouble) : _is(std::move(trouble)) {}

	bool ok() const { return _is.index() == 0; }
	T &value() { return std::get<0>(_is); }
	T const &value() const { return std::get<0>(_is); }
	Trouble const &error() const { return std::get<1>(_is); }
};

} // namespace bulkhead::tool
