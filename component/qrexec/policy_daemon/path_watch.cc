#include "component/qrexec/policy_daemon/path_watch.h"

#include "platform/linux/errno.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <sys/inotify.h>
#include <sys/stat.h>

namespace bulkhead::qrexec {

namespace {

// Of a directory on the way, and of one whose files count.
constexpr uint32_t NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
	IN_MOVE_SELF | IN_MASK_ADD | IN_ONLYDIR;
constexpr uint32_t CONTENTS = NAMES | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;

// How many reads of events before others have their turn.
constexpr unsigned READS_MAX = 16;

std::string absolute(std::string_view path)
{
	if (path.starts_with('/')) return std::string(path);
	std::unique_ptr<char, decltype(&free)> const here(getcwd(nullptr, 0), free);
	return std::string(here ? here.get() : "") + '/' + std::string(path);
}

} // namespace

Path_watch::Path_watch(std::function<void()> changed)
	: _changed(std::move(changed)), _patience([this] {
		  _writing.clear();
		  _settle();
	  })
{}

Path_watch::~Path_watch()
{
	if (linux_host::Loop *const in = loop()) in->remove(*this);
}

Attempt<void> Path_watch::attach(linux_host::Loop &loop)
{
	_inotify.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
	if (!_inotify) return linux_host::error_of_errno(errno);
	TRY(_patience.attach(loop));
	return loop.add(*this, _inotify.value(), EPOLLIN);
}

void Path_watch::begin()
{
	++_generation;
	_incomplete = false;
}

void Path_watch::end()
{
	std::erase_if(_watched, [this](auto const &entry) {
		bool const old = entry.second.generation != _generation;
		if (old) inotify_rm_watch(_inotify.value(), entry.first);
		return old;
	});
}

Path_watch::Watched *Path_watch::_watch(std::string const &path, uint32_t mask)
{
	if (!_inotify) return nullptr;
	if (_watched.size() >= WATCHES_MAX) {
		_incomplete = true;
		return nullptr;
	}
	int const watch = inotify_add_watch(_inotify.value(), path.c_str(), mask);
	if (watch < 0) {
		// What isn't there will be noticed from above.
		if (errno != ENOENT && errno != ENOTDIR) _incomplete = true;
		return nullptr;
	}
	Watched &watched = _watched[watch];
	if (watched.generation != _generation) watched = {path, {}, false, _generation};
	return &watched;
}

/* Each directory above, for the name that leads on. */
void Path_watch::_above(std::string_view path)
{
	while (path.size() > 1) {
		size_t const slash = path.rfind('/');
		std::string_view const name = path.substr(slash + 1);
		path = path.substr(0, slash);
		if (name.empty()) continue;
		if (Watched *const found = _watch(path.empty() ? "/" : std::string(path), NAMES))
			found->names.emplace(name);
	}
}

void Path_watch::directory(std::string_view path)
{
	std::string const at = absolute(path);
	_above(at);
	if (Watched *const found = _watch(at, CONTENTS)) found->all = true;
}

void Path_watch::_file(std::string_view path)
{
	_above(path);
	size_t const slash = path.rfind('/');
	std::string const directory(slash == 0 ? "/" : path.substr(0, slash));
	if (Watched *const found = _watch(directory, CONTENTS))
		found->names.emplace(path.substr(slash + 1));
}

void Path_watch::file(std::string_view path)
{
	std::string const at = absolute(path);
	_file(at);
	// Where links lead is changed without a trace in the directory that we know.
	std::unique_ptr<char, decltype(&free)> const real(realpath(at.c_str(), nullptr), free);
	if (real && at != real.get()) _file(real.get());
}

void Path_watch::_take_name(Watched const &in, uint32_t mask, std::string_view name)
{
	if (!in.all && !in.names.contains(name)) return;
	std::string const path = in.path + '/' + std::string(name);
	if (mask & IN_MODIFY) {
		_writing.insert(path);
		return;
	}
	_dirty = true;
	if (!(mask & IN_CREATE)) {
		if (!(mask & IN_ATTRIB)) _writing.erase(path);
		return;
	}
	// Who makes a file writes it next, and says so by closing it; who makes a link doesn't.
	struct stat found{};
	bool const file = !(mask & IN_ISDIR) && lstat(path.c_str(), &found) == 0;
	if (file && S_ISREG(found.st_mode) && found.st_nlink == 1) _writing.insert(path);
}

void Path_watch::_take(int watch, uint32_t mask, std::string_view name)
{
	if (mask & IN_Q_OVERFLOW) {
		_writing.clear();
		_dirty = true;
		return;
	}
	auto const found = _watched.find(watch);
	if (found == _watched.end()) return;
	if (!name.empty()) return _take_name(found->second, mask, name);
	if (!(mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))) return;
	_dirty = true;
	if (mask & IN_MOVE_SELF) inotify_rm_watch(_inotify.value(), watch);
	_watched.erase(found);
}

void Path_watch::ready(uint32_t)
{
	alignas(inotify_event) char events[16384];
	for (unsigned i = 0; i < READS_MAX; ++i) {
		ssize_t const size = read(_inotify.value(), events, sizeof(events));
		if (size <= 0) break;
		for (ssize_t at = 0; at < size;) {
			inotify_event event;
			std::memcpy(&event, events + at, sizeof(event));
			char const *const name = events + at + sizeof(event);
			_take(event.wd, event.mask, {name, event.len ? strnlen(name, event.len) : 0});
			at += static_cast<ssize_t>(sizeof(event) + event.len);
		}
	}
	_settle();
}

void Path_watch::_settle()
{
	if (!_writing.empty()) {
		_dirty = true;
		if (!_patience.running()) _patience.start(WRITING_MAX_MS);
		return;
	}
	_patience.stop();
	if (!std::exchange(_dirty, false)) return;
	_changed();
}

} // namespace bulkhead::qrexec
