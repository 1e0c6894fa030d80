#pragma once

// Notices that files have changed which somebody has read: they, their directories and all above,
// whether they exist yet or not. Whoever reads names what he reads before he does; a change that
// comes later is then told, however it was made: written in place, renamed, linked, removed, or a
// directory on the way replaced. A file that is being written is waited for.

#include "component/qrexec/policy_daemon/timer.h"

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace bulkhead::qrexec {

/* Of the loop's thread. */
class Path_watch final : private linux_host::Loop::Source
{
public:
	/* How long a file may stay open before it is taken as it is. */
	static constexpr uint64_t WRITING_MAX_MS = 2000;
	static constexpr size_t WATCHES_MAX = 8192;

private:
	/* What is of interest in one directory. */
	struct Watched
	{
		std::string path{};
		std::set<std::string, std::less<>> names{};
		bool all = false;
		unsigned generation = 0;
	};

	linux_host::Owned_fd _inotify{};
	std::function<void()> _changed;
	std::map<int, Watched> _watched{};
	std::set<std::string, std::less<>> _writing{}; // paths of files
	unsigned _generation = 0;
	bool _dirty = false;
	bool _incomplete = false;
	Timer _patience;

	void ready(uint32_t events) override;
	void _take(int watch, uint32_t mask, std::string_view name);
	void _take_name(Watched const &in, uint32_t mask, std::string_view name);
	void _settle();
	Watched *_watch(std::string const &path, uint32_t mask);
	void _above(std::string_view path);
	void _file(std::string_view path);

public:
	/* `changed` is called once for any number of changes in a row; it reads anew. */
	explicit Path_watch(std::function<void()> changed);
	~Path_watch();

	/* Errors: those of `Loop::add`; TOO_MANY_OPEN. */
	Attempt<void> attach(linux_host::Loop &loop);

	/* What is named between these two is watched from then on, and nothing else. */
	void begin();
	void end();

	/* Before the content of a file is read, and where a link to it leads. */
	void file(std::string_view path);
	/* Before the names in a directory are listed. */
	void directory(std::string_view path);

	/* Something could not be watched since the last `begin`: the kernel's limit, or ours. */
	bool incomplete() const { return _incomplete; }
};

} // namespace bulkhead::qrexec
