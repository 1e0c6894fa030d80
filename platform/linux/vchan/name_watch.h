#pragma once

// Tells who waits for a name to come into a directory. All of a process share one inotify: the
// kernel takes some 10 ms to close one, a user may have only 128 (fs.inotify.max_user_instances),
// and with one for each, all would look for their names whenever any name comes.

#include "platform/linux/descriptor.h"

#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>

namespace bulkhead::linux_host {

/*
 * Belongs to one thread; others of the process may have their own. Of what one of them takes in,
 * the others are told. The inotify is open as long as any of these objects has begun, or somebody
 * keeps it. A child that was forked may go on with an object that its parent leaves alone.
 */
class Name_watch
{
public:
	/* What to wait for. Paths have to be good for as long as this waits. */
	struct Place
	{
		std::string directory;
		std::string parent{}; // of the directory, to see its end while it is open; may be empty
		std::string file;
	};

	/* Why there is no watch: an errno, and what has failed. All is well if it is 0. */
	struct Fault
	{
		int number = 0;
		char const *call = "";
	};

	struct News
	{
		bool any = false; // the name may have come, or something with the directory has changed
		bool gone = false; // the directory has been moved or removed
	};

private:
	struct Shared;

	std::shared_ptr<Shared> _shared{};
	Place _place{};
	Owned_fd _told{}; // eventfd: another has taken in what is news here
	int _epoll = -1; // while this waits
	uint64_t _subject = 0;
	int _directory = -1; // watches of the inotify
	int _parent = -1;
	News _news{};

	Fault _begin();
	int _add(std::string const &path, uint32_t events);
	int _observe(int fd);
	void _note(bool gone, Name_watch const *looking);
	void _leave();

public:
	Name_watch() = default;
	Name_watch(Name_watch const &) = delete;
	Name_watch &operator=(Name_watch const &) = delete;
	~Name_watch();

	/*
	 * Has `epoll`, which outlives this, become readable with this subject when it is time to
	 * `look`. What has come before isn't told. ENOSPC is the limit of watches, EMFILE that of
	 * instances or of descriptors.
	 */
	Fault begin(Place, int epoll, uint64_t subject);

	bool waiting() const { return _epoll >= 0; }

	/* Takes in what has happened, as often as `epoll` says so. */
	News look();

	/* Waits no more. */
	void end();

	/*
	 * For a process that makes many channels: as long as it has this, the inotify stays open, which
	 * else closes with the last that needs it. Null if there can be none (`errno`).
	 */
	static std::shared_ptr<void> keep();
};

} // namespace bulkhead::linux_host
