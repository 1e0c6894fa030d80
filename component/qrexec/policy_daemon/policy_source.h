#pragma once

// Keeps the policy as its files say. Loading takes milliseconds and happens as a whole; a fault in
// a file is told once, with its place and a remedy, and denies everything until it is mended.

#include "base/log.h"
#include "component/qrexec/policy_daemon/path_watch.h"
#include "component/qrexec/policy_daemon/setting.h"

namespace bulkhead::qrexec {

/* Of the loop's thread. */
class Policy_source
{
private:
	Setting &_setting;
	Log_sink &_journal;
	std::vector<std::string> _directories;
	std::string _compat;
	std::string _told{}; // of the last load
	Path_watch _watch;

	void _tell();

public:
	/* The first directory counts first. Setting and journal outlive it. */
	Policy_source(Setting &setting, Log_sink &journal, std::vector<std::string> directories,
		std::string compat);

	/* Loads, and again whenever a file changes. Without it `load` may still be called. */
	Attempt<void> attach(linux_host::Loop &loop) { return _watch.attach(loop); }

	/* Blocks for the file system only. */
	void load();
};

} // namespace bulkhead::qrexec
