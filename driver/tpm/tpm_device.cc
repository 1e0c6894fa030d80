#include "driver/tpm/tpm_device.h"

#include "base/fixed_string.h"

namespace bulkhead::tpm {

Char_session *Tpm_device::_opened(Tpm_session &session)
{
	session._device = this;
	++_opens;
	++_open;
	return &session;
}

/* A session that waits for its turn is nobody else's; it goes back if its opener gives up. */
class Tpm_device::Reserved
{
private:
	Tpm_device *_device;
	Tpm_session *_session;

public:
	Reserved(Tpm_device &device, Tpm_session &session) : _device(&device), _session(&session)
	{
		session.unlink();
	}
	Reserved(Reserved &&other) noexcept
		: _device(other._device), _session(std::exchange(other._session, nullptr))
	{}
	Reserved &operator=(Reserved &&) = delete;
	~Reserved()
	{
		if (_session) _device->_free.push_front(*_session);
	}

	Tpm_session &session() { return *_session; }
	Tpm_session &take() { return *std::exchange(_session, nullptr); }
};

Task<Char_session *> Tpm_device::_open_later(Job &job, Reserved reserved)
{
	CO_TRY_ASSIGN(Arbiter::Turn turn, co_await _openers.turn(job, reserved.session()._client));
	turn.pass_on();
	co_return _opened(reserved.take());
}

Task<Char_session *> Tpm_device::open(Job &job, Opener const &opener)
{
	Tpm_session *const session = _free.front();
	bool const alone = _sharing != Sharing::SHARED;
	bool const may_wait = _sharing == Sharing::QUEUED && !opener.nonblocking;
	if (!session || (alone && !may_wait && _openers.busy())) {
		++_refused;
		return bulkhead::Error::BUSY;
	}
	Reserved reserved{*this, *session};
	session->_interface.admit(opener.who);
	if (alone && !_openers.try_begin(session->_client))
		return _open_later(job, std::move(reserved));
	return _opened(reserved.take());
}

void Tpm_device::_closed(Tpm_session &session)
{
	session._device = nullptr;
	--_open;
	_free.push_back(session);
	if (_sharing != Sharing::SHARED) _openers.end(session._client);
}

void Tpm_device::describe(Info_sink &sink) const
{
	Tis_identity const &identity = _tis.identity();
	Tis_counters const &counters = _tis.counters();
	auto const in_hex = [&sink](std::string_view name, Hex value) {
		Fixed_string<20> text;
		(void)text.append(value).ok();
		sink.info(name, text);
	};
	sink.info("family", "2.0");
	sink.info("interface", "FIFO");
	in_hex("vendor_id", Hex(identity.vendor_id, 4));
	in_hex("device_id", Hex(identity.device_id, 4));
	in_hex("revision_id", Hex(identity.revision_id, 2));
	sink.info("sharing",
		_sharing == Sharing::EXCLUSIVE    ? "exclusive"
			: _sharing == Sharing::QUEUED ? "queued"
										  : "shared");
	sink.counter("open", _open);
	sink.counter("opens", _opens);
	sink.counter("opens_refused", _refused);
	sink.counter("commands", counters.commands);
	sink.counter("failures", counters.failures);
	sink.counter("command_retries", counters.command_retries);
	sink.counter("response_retries", counters.response_retries);
	sink.counter("cancels", counters.cancels);
	sink.counter("localities_lost", counters.localities_lost);
}

} // namespace bulkhead::tpm
