#pragma once

// Knows the domains: from a file, which is read again when it changes, or from qubesd, which is
// asked for each question, as upstream does, so that no answer rests on domains as they were.
// Questions that come while qubesd is being asked share the next request: however many there are,
// one is under way.

#include "base/log.h"
#include "component/qrexec/policy_daemon/path_watch.h"
#include "component/qrexec/policy_daemon/setting.h"

#include <optional>

namespace bulkhead::qrexec {

/* Of the loop's thread. */
class System_source final : private linux_host::Loop::Source
{
public:
	struct Options
	{
		std::string file{}; // empty: qubesd
		std::string qubesd = "/var/run/qubesd.internal.sock";
		uint64_t max_age_ms = 0; // how old an answer of qubesd's may be
	};

	/* How long qubesd may take. */
	static constexpr uint64_t PATIENCE_MS = 30'000;

	/* Somebody who must know. */
	class Waiter
	{
	protected:
		~Waiter() = default;

	public:
		/* The setting has the domains, or says why not. May end the waiter, no other. */
		virtual void system_known() = 0;
	};

private:
	linux_host::Loop &_loop;
	Setting &_setting;
	Log_sink &_journal;
	Options _options;
	Path_watch _watch;
	Timer _patience;

	linux_host::Owned_fd _socket{};
	std::string _to_send{};
	std::string _received{};
	std::string _last{}; // what the domains were made of
	std::optional<uint64_t> _known_us{};
	// Those of the request under way, those that came since, those that are being told.
	std::vector<Waiter *> _asking{}, _waiting{}, _telling{};

	void ready(uint32_t events) override;
	bool _send();
	bool _receive();
	void _ask();
	void _finish(std::string trouble);
	void _take(std::string_view text);
	void _load();

public:
	System_source(linux_host::Loop &loop, Setting &setting, Log_sink &journal, Options options);
	~System_source();

	/* Errors: those of `Loop::add`. */
	Attempt<void> start();

	/* Whether what the setting has will do; else `wait`. */
	bool fresh() const;
	void wait(Waiter &waiter);
	/* Is told nothing any more. */
	void forget(Waiter &waiter);

	/* A file is read again; what qubesd has said is forgotten. */
	void reload();
};

} // namespace bulkhead::qrexec
