#pragma once

// What files, character devices and channels have in common: who asks, how a read or write is
// meant, whether it would wait, and how one learns that this has changed.

#include "base/list.h"

#include <cstdint>
#include <string_view>

namespace bulkhead {

/* Who asks, as the front end or the broker knows it; never what a client says of itself. */
struct Credentials
{
	std::string_view label = {}; // of its domain, for policies; valid during the call only
	uint32_t uid = 0;
	uint32_t gid = 0;
	uint32_t pid = 0; // 0: unknown
};

/* What a read or write is told beside its bytes. */
struct Io
{
	uint64_t offset = 0; // bytes; streams and devices of messages ignore it
	bool nonblocking = false; // WOULD_BLOCK instead of waiting
};

struct Readiness
{
	bool readable = false;
	bool writable = false;
	bool hung_up =
		false; // the other end or the device is gone; reads may still drain what is there

	friend constexpr bool operator==(Readiness, Readiness) = default;
};

/*
 * Is told that a readiness may have changed; it then asks again. It is called from within the code
 * that made the change: it only takes note (raises an event, marks itself), and calls nothing back.
 */
class Watcher : public Link<Watcher>
{
protected:
	~Watcher() = default;

public:
	virtual void changed() = 0;
};

/* Those who watch one object. A watcher leaves by `unlink` or by its end. */
class Watchers
{
private:
	List<Watcher> _watchers{};

public:
	void add(Watcher &watcher)
	{
		watcher.unlink();
		_watchers.push_back(watcher);
	}

	bool empty() const { return _watchers.empty(); }

	void notify()
	{
		_watchers.for_each([](Watcher &watcher) { watcher.changed(); });
	}
};

} // namespace bulkhead
