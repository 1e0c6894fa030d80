#pragma once

// The policy of a system, compiled for its domains.

#include "domain/manifest/manifest.h"
#include "platform/linux/heap.h"
#include "rpc/policy/evaluator.h"

#include <memory>

namespace bulkhead::broker {

class Ruling
{
private:
	linux_host::Heap _heap{};
	Owned<policy::Policy> _policy{};
	Owned<policy::System> _system{};
	Owned<policy::Evaluator> _evaluator{};

public:
	/* Of a manifest's folder or rules; null: it has faults, which `faults` tells line by line. */
	static std::unique_ptr<Ruling> make(domain::System_plan const &plan, std::string &faults);

	policy::Evaluator &evaluator() { return *_evaluator; }
};

} // namespace bulkhead::broker
