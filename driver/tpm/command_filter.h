#pragma once

// Which commands a user of a TPM may give: a filter between its session and what executes them
// (the chip's driver, or the user's own resource manager). A command that isn't allowed is answered
// as a TPM answers that doesn't have it, and goes no further.

#include "base/fixed_vector.h"
#include "base/io.h"
#include "driver/tpm/interface.h"

#include <array>

namespace bulkhead::tpm {

/*
 * A set of command codes (TPM_CC, TPM 2.0 Part 2, 6.5). Commands of a vendor (bit V) can do
 * anything, down to another firmware: each has to be named.
 */
class Command_rule
{
public:
	static constexpr size_t VENDOR_MAX = 16; // commands of a vendor

private:
	static constexpr uint32_t FIRST = 0x100, COUNT = 0x100; // where the standard's codes lie

	std::array<uint64_t, COUNT / 64> _named{};
	Fixed_vector<uint32_t, VENDOR_MAX> _vendor{};
	bool _all = false;

public:
	/* All that the standard has, also in later versions. */
	void allow_standard() { _all = true; }

	/* Errors: INVALID (no command can have this code), NO_SPACE (too many of a vendor). */
	Attempt<void> allow(uint32_t code);

	bool allows(uint32_t code) const;
};

/* Says by who opens a TPM what it may do there. */
class Command_policy
{
protected:
	~Command_policy() = default;

public:
	/* Null: nothing. A rule outlives all sessions. Does not block. */
	virtual Command_rule const *rule_of(Credentials const &who) const = 0;

	/* Is told of each command that a rule (null: none) has not let through. Does not block. */
	virtual void refused(Command_rule const *, uint32_t /* code */) {}
};

/*
 * One session's filter. Beside the codes it looks at what every command has: the size in the header
 * is that of the message (else COMMAND_SIZE), and the tag is one of TPM 2.0 (else the answer is
 * TPM_RC_BAD_TAG). What is refused is answered with TPM_RC_COMMAND_CODE in the resource manager's
 * layer, as Linux does.
 */
class Command_filter final : public Interface
{
private:
	Interface &_next;
	Command_policy &_policy;
	Command_rule const *_rule = nullptr;

public:
	/* Both outlive the filter. Nobody is admitted at first. */
	Command_filter(Interface &next, Command_policy &policy) : _next(next), _policy(policy) {}

	void admit(Credentials const &who) override;
	Task<size_t, Error> execute(Job &job, Bytes command, Mutable_bytes response) override;
	bool cancel(Job const &job) override { return _next.cancel(job); }
	Task<void, Error> forget(Job &job) override;
};

} // namespace bulkhead::tpm
