#pragma once

// A connection to swtpm in the loop of a Linux process: responses arrive while other things go on.

#include "platform/linux/loop.h"
#include "platform/sim/swtpm.h"

namespace bulkhead::sim {

class Swtpm_source final : public linux_host::Loop::Source
{
private:
	Swtpm &_swtpm;

public:
	/* The connection outlives the source. */
	explicit Swtpm_source(Swtpm &swtpm) : _swtpm(swtpm) {}

	/* Has a loop watch a connection that is there. Errors: as `Loop::add`. */
	Attempt<void> watch(
		linux_host::Loop &loop, linux_host::Loop::Kind kind = linux_host::Loop::Kind::NORMAL)
	{
		return loop.add(*this, _swtpm.fd(), EPOLLIN, kind);
	}

	/* A connection that has ended leaves the loop; its message says why. */
	void ready(uint32_t) override
	{
		if (!_swtpm.process().ok() && loop()) loop()->remove(*this);
	}

	void receive() override { _swtpm.receive(); }
};

} // namespace bulkhead::sim
