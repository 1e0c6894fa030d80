#pragma once

// Whether /dev/kvm runs a guest: a device that opens says little, as there are implementations in
// software that stop at the first kernel.

#include <string>

namespace bulkhead::tool {

struct Kvm_finding
{
	enum class State { WORKS, LIMITED, MISSING } state;
	std::string detail;
	std::string remedy = {};
};

/* Opens KVM and lets a virtual CPU run a few instructions. Takes milliseconds. */
Kvm_finding probe_kvm();

} // namespace bulkhead::tool
