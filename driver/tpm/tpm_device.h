#pragma once

// A TPM as a character device: /dev/tpm0 where it is opened by one at a time, /dev/tpmrm0 where
// each opener has a resource manager between itself and the chip.

#include "driver/char_device.h"
#include "driver/tpm/tis.h"
#include "driver/tpm/tpm_session.h"

namespace bulkhead::tpm {

/* What happens to an open while another one lasts. */
enum class Sharing : uint8_t {
	EXCLUSIVE, // BUSY
	QUEUED, // waits until the other has closed
	SHARED, // goes ahead
};

class Tpm_device final : public Char_device
{
private:
	friend class Tpm_session;

	Tis const &_tis;
	Sharing const _sharing;
	Arbiter _openers{}; // who has the device, unless it is shared
	List<Tpm_session> _free{};
	uint64_t _opens = 0;
	uint64_t _refused = 0;
	unsigned _open = 0;

	class Reserved;

	Task<Char_session *> _open_later(Job &, Reserved);
	Char_session *_opened(Tpm_session &);
	void _closed(Tpm_session &);

public:
	/* The driver outlives the device. */
	Tpm_device(Tis const &tis, Sharing sharing) : _tis(tis), _sharing(sharing) {}

	/* What the sessions of this device are made with. */
	Arbiter &openers() { return _openers; }

	/*
	 * Offers a session for openers to use. There can be as many openers, those that wait counted
	 * in, as there are sessions. The sessions are the caller's and end before the device.
	 */
	void add(Tpm_session &session) { _free.push_back(session); }

	std::string_view kind() const override { return "tpm"; }

	/* Errors: BUSY (see `Sharing`, or no session is free), CANCELLED, TIMEOUT. */
	Task<Char_session *> open(Job &job, Opener const &opener) override;

	void describe(Info_sink &sink) const override;
};

} // namespace bulkhead::tpm
