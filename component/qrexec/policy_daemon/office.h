#pragma once

// What all questions share: policy and domains as they are, the way to people, and the limits on
// how many may be bothered at once.

#include "component/qrexec/policy_daemon/policy_source.h"
#include "component/qrexec/policy_daemon/service_call.h"
#include "component/qrexec/policy_daemon/system_source.h"
#include "tool/policy/host_files.h"

#include <map>

namespace bulkhead::qrexec {

struct Office_options
{
	std::vector<std::string> policy{
		std::string(tool::RUNTIME_DIRECTORY), std::string(tool::DIRECTORY)};
	std::string compat{tool::COMPAT_DIRECTORY};
	System_source::Options system{};
	Service_call::Ways ways{};
	bool calls_within_domain = false; // an allow may have its source as its target
};

/* Tells people, and doesn't wait for them. Of the loop's thread. */
class Notifier
{
private:
	class Notice;

	linux_host::Loop &_loop;
	Children &_children;
	Log_sink &_journal;
	Service_call::Ways const &_ways;
	std::list<std::unique_ptr<Notice>> _notices;

public:
	// Of more, the oldest are given up: nobody is there to see them.
	static constexpr size_t NOTICES_MAX = 32;
	// Further ones of a source are left out: each costs a process, and a domain could hide others'.
	static constexpr size_t NOTICES_OF_ONE_MAX = 8;

	Notifier(linux_host::Loop &loop, Children &children, Log_sink &journal,
		Service_call::Ways const &ways);
	~Notifier();

	/* Of something that `source` has done. */
	void notify(std::string_view gui_domain, std::string_view source, std::string json);
};

/* Of the loop's thread. */
class Office
{
public:
	// How many questions may be before people, of all domains and of one.
	static constexpr size_t ASKED_MAX = 256;
	static constexpr size_t ASKED_OF_ONE_MAX = 32;

	linux_host::Loop &loop;
	Log_sink &journal;
	Office_options const options;
	Setting setting{};
	Policy_source policy;
	System_source system;
	Children children;
	Notifier notifier;

private:
	size_t _asked = 0;
	std::map<std::string, size_t, std::less<>> _asked_of{};

public:
	Office(linux_host::Loop &loop, Log_sink &journal, Office_options options);

	/* Loads policy and domains, and watches them. Errors: those of `Loop::add`. */
	Attempt<void> start();

	/* All anew, at somebody's word. */
	void reload();

	/* False if too many are asked already; else `end_asking` is called for it. */
	bool begin_asking(std::string const &source);
	void end_asking(std::string const &source);
};

} // namespace bulkhead::qrexec
