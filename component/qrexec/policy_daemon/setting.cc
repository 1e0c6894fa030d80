#include "component/qrexec/policy_daemon/setting.h"

namespace bulkhead::qrexec {

void Setting::_evaluate()
{
	if (!_policy || !_info.system) return;
	auto made = policy::Asker::create(_heap, *_policy, *_info.system);
	if (made.ok())
		_asker = std::move(made).value();
	else
		_trouble = "out of memory";
}

void Setting::set_policy(Owned<policy::Policy> policy)
{
	_asker.reset();
	_policy = std::move(policy);
	_evaluate();
}

void Setting::set_system(System_info info)
{
	_asker.reset();
	_info = std::move(info);
	_trouble.clear();
	_evaluate();
}

void Setting::set_trouble(std::string why)
{
	_asker.reset();
	_info = {};
	_trouble = std::move(why);
}

} // namespace bulkhead::qrexec
