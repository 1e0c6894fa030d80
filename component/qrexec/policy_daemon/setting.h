#pragma once

// Policy and domains as they are now, and the asker for them. Either is replaced as a whole:
// until then the former decides.

#include "component/qrexec/policy_daemon/system_info.h"
#include "platform/linux/heap.h"
#include "rpc/policy/ask/asker.h"

namespace bulkhead::qrexec {

class Setting
{
private:
	linux_host::Heap _heap{};
	// In this order: each knows the former.
	Owned<policy::Policy> _policy{};
	System_info _info{};
	std::string _trouble = "not asked for yet";
	Owned<policy::Asker> _asker{};

	void _evaluate();

public:
	Allocator &allocator() { return _heap; }

	/* A policy with faults denies everything. */
	void set_policy(Owned<policy::Policy> policy);
	void set_system(System_info info);
	/* The domains aren't known, and why. */
	void set_trouble(std::string why);

	/* Null before the first. */
	policy::Policy const *policy() const { return _policy.pointer(); }
	/* Null if policy or domains aren't known, or there is no memory; then `trouble` says which. */
	policy::Asker *asker() { return _asker.pointer(); }
	System_info const &info() const { return _info; }
	std::string const &trouble() const { return _trouble; }
};

} // namespace bulkhead::qrexec
