#pragma once

// Which addresses of a bus an opener may choose: a character device before another one, whose
// sessions refuse `Setting::ADDRESS` (an I²C address, a chip select) beyond their opener's rule.
// All else goes through.

#include "base/allocator.h"
#include "driver/char_device.h"

#include <span>

namespace bulkhead {

struct Address_rule
{
	bool any = true;
	std::span<uint64_t const> addresses = {}; // these, unless any will do

	bool allows(uint64_t address) const
	{
		for (uint64_t const named : addresses)
			if (named == address) return true;
		return any;
	}
};

/* Says by who opens a device which addresses it may choose. */
class Address_policy
{
protected:
	~Address_policy() = default;

public:
	/* Null: none. A rule outlives all sessions. Does not block. */
	virtual Address_rule const *addresses_of(Credentials const &who) const = 0;
};

class Address_guard final : public Char_device
{
private:
	class Session;
	class Prepared;

	Char_device &_device;
	Allocator &_allocator;
	Address_policy const &_policy;

	Task<Char_session *> _open(Job &, Opener, Prepared);

public:
	/* All of these outlive the guard, which needs memory for each open session. */
	Address_guard(Char_device &device, Allocator &allocator, Address_policy const &policy)
		: _device(device), _allocator(allocator), _policy(policy)
	{}

	std::string_view kind() const override { return _device.kind(); }
	void describe(Info_sink &sink) const override { _device.describe(sink); }
	std::span<Setting const> settings() const override { return _device.settings(); }

	/* Errors: those of the device, and OUT_OF_MEMORY. */
	Task<Char_session *> open(Job &job, Opener const &opener) override;
};

} // namespace bulkhead
