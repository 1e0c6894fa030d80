#include "component/qrexec/policy_daemon/office.h"

#include "component/qrexec/policy_daemon/journal.h"

#include <algorithm>

namespace bulkhead::qrexec {

class Notifier::Notice final : public Service_call::Finished
{
private:
	Notifier &_notifier;
	std::string const _gui_domain;

	void call_finished(std::string_view, std::string const &trouble) override
	{
		Notifier &notifier = _notifier;
		if (!trouble.empty()) tell(trouble);
		std::erase_if(
			notifier._notices, [this](auto const &notice) { return notice.get() == this; });
	}

public:
	Service_call call;
	std::string const source;

	Notice(Notifier &notifier, std::string_view gui_domain, std::string_view about)
		: _notifier(notifier),
		  _gui_domain(gui_domain),
		  call(notifier._loop, notifier._children, *this),
		  source(about)
	{}

	void tell(std::string const &trouble)
	{
		_notifier._journal.log(Level::WARNING,
			printable("policy.Notify: nobody is told at " + _gui_domain + ": " + trouble));
	}
};

Notifier::Notifier(
	linux_host::Loop &loop, Children &children, Log_sink &journal, Service_call::Ways const &ways)
	: _loop(loop), _children(children), _journal(journal), _ways(ways), _notices()
{}

Notifier::~Notifier() = default;

void Notifier::notify(std::string_view gui_domain, std::string_view source, std::string json)
{
	if (gui_domain.empty()) return;
	auto const of_source = std::ranges::count_if(
		_notices, [&](auto const &notice) { return notice->source == source; });
	if (static_cast<size_t>(of_source) >= NOTICES_OF_ONE_MAX) return;
	if (_notices.size() >= NOTICES_MAX) _notices.pop_front();
	auto notice = std::make_unique<Notice>(*this, gui_domain, source);
	std::string const trouble =
		notice->call.start(_ways, gui_domain, "policy.Notify", std::move(json));
	if (trouble.empty())
		_notices.push_back(std::move(notice));
	else
		notice->tell(trouble);
}

Office::Office(linux_host::Loop &l, Log_sink &j, Office_options o)
	: loop(l),
	  journal(j),
	  options(std::move(o)),
	  policy(setting, journal, options.policy, options.compat),
	  system(loop, setting, journal, options.system),
	  children(loop),
	  notifier(loop, children, journal, options.ways)
{}

Attempt<void> Office::start()
{
	TRY(policy.attach(loop));
	policy.load();
	return system.start();
}

void Office::reload()
{
	policy.load();
	system.reload();
}

bool Office::begin_asking(std::string const &source)
{
	size_t &of_one = _asked_of[source];
	if (_asked >= ASKED_MAX || of_one >= ASKED_OF_ONE_MAX) {
		if (of_one == 0) _asked_of.erase(source);
		return false;
	}
	++_asked;
	++of_one;
	return true;
}

void Office::end_asking(std::string const &source)
{
	--_asked;
	auto const of_one = _asked_of.find(source);
	if (--of_one->second == 0) _asked_of.erase(of_one);
}

} // namespace bulkhead::qrexec
