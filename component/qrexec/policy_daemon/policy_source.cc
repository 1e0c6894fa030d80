#include "component/qrexec/policy_daemon/policy_source.h"

#include "component/qrexec/policy_daemon/journal.h"
#include "tool/policy/fault_text.h"
#include "tool/policy/host_files.h"

namespace bulkhead::qrexec {

namespace {

// Of a policy that is broken in many places a journal wants to know only some.
constexpr size_t FAULTS_TOLD_MAX = 20;
constexpr size_t FAULT_TEXT_MAX = 2048;

/* Has everything watched before it is read. */
class Watched_files final : public policy::Files
{
private:
	tool::Host_files _files{};
	Path_watch &_watch;

public:
	explicit Watched_files(Path_watch &watch) : _watch(watch) {}

	Attempt<void> list(std::string_view directory, policy::Names &names) override
	{
		_watch.directory(directory);
		return _files.list(directory, names);
	}

	Attempt<std::string_view> read(std::string_view path) override
	{
		_watch.file(path);
		return _files.read(path);
	}
};

} // namespace

Policy_source::Policy_source(
	Setting &setting, Log_sink &journal, std::vector<std::string> directories, std::string compat)
	: _setting(setting),
	  _journal(journal),
	  _directories(std::move(directories)),
	  _compat(std::move(compat)),
	  _watch([this] { load(); })
{}

void Policy_source::load()
{
	Watched_files files(_watch);
	std::vector<std::string_view> const directories(_directories.begin(), _directories.end());
	_watch.begin();
	auto loaded = policy::Policy::load(_setting.allocator(), files, directories, _compat);
	_watch.end();
	_setting.set_policy(loaded.ok() ? std::move(loaded).value() : Owned<policy::Policy>());
	_tell();
}

void Policy_source::_tell()
{
	policy::Policy const *const policy = _setting.policy();
	std::vector<std::string> lines;
	if (!policy) {
		lines.push_back("policy: no memory to load it: everything is denied");
	} else if (!policy->broken()) {
		lines.push_back("policy: loaded, " + std::to_string(policy->rules().size()) + " rules");
	} else {
		size_t const count = policy->faults().size();
		for (policy::Fault const &fault : policy->faults().first(std::min(count, FAULTS_TOLD_MAX)))
			lines.push_back(printable("policy: " + tool::text_of(*policy, fault), FAULT_TEXT_MAX));
		lines.push_back("policy: " + std::to_string(count) + (count == 1 ? " fault" : " faults") +
			": everything is denied until mended");
	}
	if (_watch.incomplete())
		lines.push_back("policy: not every directory can be watched; raise "
						"fs.inotify.max_user_watches, or send SIGHUP after a change");
	std::string all;
	for (std::string const &line : lines) all += line + '\n';
	if (all == std::exchange(_told, all)) return;
	Level const level = !policy || policy->broken() ? Level::ERROR : Level::INFO;
	for (std::string const &line : lines) _journal.log(level, line);
}

} // namespace bulkhead::qrexec
