#include "platform/linux/vchan/name_watch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string_view>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <utility>
#include <vector>

namespace bulkhead::linux_host {
namespace {

constexpr unsigned READS_MAX = 16; // for each look: others may make names faster than we read

constexpr uint32_t OF_DIRECTORY =
	IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD;
constexpr uint32_t OF_PARENT = IN_DELETE | IN_ONLYDIR | IN_MASK_ADD;
constexpr uint32_t END = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

} // namespace

/* The inotify of a process, and who waits. The lock is for all but `process`. */
struct Name_watch::Shared
{
	std::mutex lock{};
	pid_t const process = getpid();
	Owned_fd inotify{};
	std::vector<Name_watch *> waiting{};

	static std::shared_ptr<Shared> of_process();

	void drop(int watch);
	void tell(inotify_event const &event, std::string_view name, Name_watch const *looking);
	void take_in(Name_watch const *looking);
};

/* Null, with errno, if there can be none. */
std::shared_ptr<Name_watch::Shared> Name_watch::Shared::of_process()
{
	static std::mutex lock;
	static std::weak_ptr<Shared> known;
	std::lock_guard const locked(lock);
	std::shared_ptr<Shared> shared = known.lock();
	// A child's events would go to its parent.
	if (shared && shared->process == getpid()) return shared;
	Owned_fd inotify{inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
	if (!inotify) return nullptr;
	shared = std::make_shared<Shared>();
	shared->inotify = std::move(inotify);
	known = shared;
	return shared;
}

/* Removes a watch that nobody uses any more. */
void Name_watch::Shared::drop(int watch)
{
	auto const uses = [&](Name_watch const *one) {
		return one->_directory == watch || one->_parent == watch;
	};
	if (watch < 0 || std::ranges::any_of(waiting, uses)) return;
	int const kept = errno;
	(void)inotify_rm_watch(inotify.value(), watch);
	errno = kept;
}

void Name_watch::Shared::tell(
	inotify_event const &event, std::string_view name, Name_watch const *looking)
{
	bool const lost = event.mask & IN_Q_OVERFLOW;
	bool const ended = event.mask & END;
	for (Name_watch *const one : waiting) {
		bool const named = name.empty() || name == one->_place.file;
		// A directory that has gone out of the parent may be the one.
		bool const beside = event.mask & (IN_ISDIR | END);
		if (lost || (event.wd == one->_directory && named) || (event.wd == one->_parent && beside))
			one->_note(ended && event.wd == one->_directory, looking);
	}
}

void Name_watch::Shared::take_in(Name_watch const *looking)
{
	alignas(inotify_event) std::array<char, 4096> buffer;
	for (unsigned i = 0; i < READS_MAX; ++i) {
		ssize_t const got = read(inotify.value(), buffer.data(), buffer.size());
		if (got <= 0) return;
		auto const size = static_cast<size_t>(got);
		for (size_t at = 0; at < size;) {
			inotify_event event{};
			memcpy(&event, &buffer[at], sizeof(event));
			char const *const name = buffer.data() + at + sizeof(event);
			tell(event, {name, strnlen(name, event.len)}, looking);
			at += sizeof(event) + event.len;
		}
	}
}

Name_watch::~Name_watch() { end(); }

/* Under the lock. Who looks needs not be told to. */
void Name_watch::_note(bool gone, Name_watch const *looking)
{
	_news.gone |= gone;
	if (std::exchange(_news.any, true) || this == looking) return;
	(void)eventfd_write(_told.value(), 1);
}

int Name_watch::_add(std::string const &path, uint32_t events)
{
	return inotify_add_watch(_shared->inotify.value(), path.c_str(), events);
}

int Name_watch::_observe(int fd)
{
	epoll_event event{};
	event.events = EPOLLIN;
	event.data.u64 = _subject;
	return epoll_ctl(_epoll, EPOLL_CTL_ADD, fd, &event);
}

Name_watch::Fault Name_watch::begin(Place place, int epoll, uint64_t subject)
{
	_place = std::move(place);
	_epoll = epoll;
	_subject = subject;
	_news = {};
	Fault const fault = _begin();
	if (fault.number != 0) end();
	return fault;
}

Name_watch::Fault Name_watch::_begin()
{
	auto shared = Shared::of_process();
	if (!shared) return {errno, "inotify_init1"};
	_shared = std::move(shared);
	_told.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (!_told) return {errno, "eventfd"};
	{
		std::lock_guard const locked(_shared->lock);
		_shared->waiting.push_back(this);
		_directory = _add(_place.directory, OF_DIRECTORY);
		if (_directory < 0) return {errno, "inotify_add_watch"};
		if (!_place.parent.empty()) _parent = _add(_place.parent, OF_PARENT);
		if (!_place.parent.empty() && _parent < 0 && errno != EACCES)
			return {errno, "inotify_add_watch"};
	}
	if (_observe(_shared->inotify.value()) != 0 || _observe(_told.value()) != 0)
		return {errno, "epoll_ctl"};
	return {};
}

Name_watch::News Name_watch::look()
{
	if (!waiting()) return {};
	if (_shared->process != getpid()) {
		// Forked: what the parent shares with others stays the parent's.
		int const epoll = _epoll;
		(void)epoll_ctl(epoll, EPOLL_CTL_DEL, _shared->inotify.value(), nullptr);
		(void)epoll_ctl(epoll, EPOLL_CTL_DEL, _told.value(), nullptr);
		_leave();
		return {true, begin(std::move(_place), epoll, _subject).number != 0};
	}
	std::lock_guard const locked(_shared->lock);
	bool const told = _news.any;
	_shared->take_in(this);
	eventfd_t count = 0;
	if (told) (void)eventfd_read(_told.value(), &count);
	return std::exchange(_news, {});
}

/* Nothing of another process is touched. */
void Name_watch::_leave()
{
	_told.reset();
	_directory = _parent = _epoll = -1;
}

void Name_watch::end()
{
	if (!waiting()) return;
	if (_shared && _shared->process == getpid()) {
		// A child that was forked keeps what we only close open, and epoll would go on watching it.
		(void)epoll_ctl(_epoll, EPOLL_CTL_DEL, _shared->inotify.value(), nullptr);
		if (_told) (void)epoll_ctl(_epoll, EPOLL_CTL_DEL, _told.value(), nullptr);
		std::lock_guard const locked(_shared->lock);
		std::erase(_shared->waiting, this);
		_shared->drop(std::exchange(_directory, -1));
		_shared->drop(std::exchange(_parent, -1));
	}
	_leave();
}

std::shared_ptr<void> Name_watch::keep() { return Shared::of_process(); }

} // namespace bulkhead::linux_host
