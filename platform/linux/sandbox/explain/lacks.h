#pragma once

// What a machine lacks that sandboxes rely on, in words for people, before one is started. `start`
// doesn't ask this: it tries.

#include "platform/linux/sandbox/sandbox.h"

#include <string_view>

namespace bulkhead::linux_host {

inline constexpr unsigned ABILITIES = 6;

/* As a manifest names it: "namespaces", "memory_limit" … */
std::string_view name_of(Ability ability);

/* What is missing here, and why ("/sys/fs/cgroup has no memory controller"). */
struct Lack
{
	Ability ability;
	std::string why;
};

/*
 * Tries what can be tried without leaving anything behind. `cgroup`: the directory below which
 * groups may be made; empty: wherever this process is allowed to.
 */
std::vector<Lack> find_lacks(std::string const &cgroup);

} // namespace bulkhead::linux_host
