#include "driver/address_guard.h"

namespace bulkhead {

class Address_guard::Session final : public Char_session
{
private:
	Allocator &_allocator;
	Address_rule const *const _rule;

public:
	Char_session *session = nullptr; // that of the device, for as long as this one lasts

	Session(Allocator &allocator, Address_rule const *rule) : _allocator(allocator), _rule(rule) {}

	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
	{
		return session->read(job, to, io);
	}
	Task<size_t> write(Job &job, Bytes from, Io io) override
	{
		return session->write(job, from, io);
	}
	Task<size_t> transact(Job &job, Bytes out, Mutable_bytes in) override
	{
		return session->transact(job, out, in);
	}
	Attempt<uint64_t> setting(Setting which) const override { return session->setting(which); }
	Task<void> set(Job &job, Setting which, uint64_t value) override
	{
		bool const allowed = which != Setting::ADDRESS || (_rule && _rule->allows(value));
		if (!allowed) return Error::DENIED;
		return session->set(job, which, value);
	}
	Task<void> act(Job &job, Action action) override { return session->act(job, action); }
	Readiness readiness() const override { return session->readiness(); }
	void watch(Watcher &watcher) override { session->watch(watcher); }

	/* No coroutine of its own, which might not begin for lack of frames. */
	Task<void> close(Job &job) override
	{
		Char_session &inner = *session;
		destroy(_allocator, *this);
		return inner.close(job);
	}
};

/* A session that waits for the device's; it goes if its opener gives up. */
class Address_guard::Prepared
{
private:
	Allocator &_allocator;
	Session *_session;

public:
	Prepared(Allocator &allocator, Session &session) : _allocator(allocator), _session(&session) {}
	Prepared(Prepared &&other) noexcept
		: _allocator(other._allocator), _session(std::exchange(other._session, nullptr))
	{}
	Prepared &operator=(Prepared &&) = delete;
	~Prepared()
	{
		if (_session) destroy(_allocator, *_session);
	}

	Char_session *with(Char_session *opened)
	{
		_session->session = opened;
		return std::exchange(_session, nullptr);
	}
};

Task<Char_session *> Address_guard::_open(Job &job, Opener opener, Prepared prepared)
{
	CO_TRY_ASSIGN(Char_session *const session, co_await _device.open(job, opener));
	co_return prepared.with(session);
}

Task<Char_session *> Address_guard::open(Job &job, Opener const &opener)
{
	// Made first: a session that was opened must find its place.
	Attempt<Session &> session =
		create<Session>(_allocator, _allocator, _policy.addresses_of(opener.who));
	if (!session.ok()) return session.error();
	return _open(job, opener, Prepared(_allocator, session.value()));
}

} // namespace bulkhead
