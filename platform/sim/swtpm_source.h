#pragma once

// A connection to swtpm in the loop of a Linux process: responses arrive while other things go on.

#include "platform/linux/loop.h"
#include "platform/sim/swtpm.h"

#include <optional>

namespace bulkhead::sim {

/*
 * The backend to give to a chip whose commands are executed by a swtpm in the loop. While no
 * command is under way the connection lets other sources of the loop block
 * (Loop::Kind::BACKGROUND).
 */
class Swtpm_source final : public linux_host::Loop::Source, public Tpm_backend
{
private:
	Swtpm &_swtpm;
	std::optional<linux_host::Loop::Expected> _expected{};

	void _expect()
	{
		if (!_swtpm.busy())
			_expected.reset();
		else if (loop() && !_expected)
			_expected.emplace(*loop());
	}

public:
	/* The connection outlives the source. */
	explicit Swtpm_source(Swtpm &swtpm) : _swtpm(swtpm) {}

	/* Has a loop watch a connection that is there. Errors: as `Loop::add`. */
	Attempt<void> watch(linux_host::Loop &loop)
	{
		return loop.add(*this, _swtpm.fd(), EPOLLIN, linux_host::Loop::Kind::BACKGROUND);
	}

	/* A connection that has ended leaves the loop; its message says why. */
	void ready(uint32_t) override
	{
		bool const ended = !_swtpm.process().ok();
		_expect();
		if (ended && loop()) loop()->remove(*this);
	}

	void submit(Tpm_client &client, uint8_t locality, Bytes command) override
	{
		_swtpm.submit(client, locality, command);
		_expect();
	}

	void cancel() override { _swtpm.cancel(); }

	void poll() override
	{
		_swtpm.poll();
		_expect();
	}
};

} // namespace bulkhead::sim
