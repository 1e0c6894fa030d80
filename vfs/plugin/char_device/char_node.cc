#include "vfs/plugin/char_device/char_node.h"

namespace bulkhead::vfs {

Char_file::Char_file(Allocator &allocator, Ref<Char_node> node)
	: _allocator(allocator), _node(std::move(node)), _closing(_node->executor())
{}

Root Char_file::_close_alone(Job &job, Char_session &session)
{
	static_cast<void>(co_await session.close(job));
}

void Char_file::unreferenced()
{
	if (!_session) return destroy(_allocator, *this);
	_root = _close_alone(_closing, *std::exchange(_session, nullptr));
	// The arena is made for this one coroutine.
	bool const started = _root.start(_closing, this).ok();
	BULKHEAD_ASSERT(started);
}

Task<size_t> Char_file::_set(Job &job, Setting setting, uint64_t value)
{
	CO_TRY(co_await _session->set(job, setting, value));
	co_return size_t{0};
}

Task<size_t> Char_file::_act(Job &job, Action action)
{
	CO_TRY(co_await _session->act(job, action));
	co_return size_t{0};
}

Task<size_t> Char_file::control(Job &job, Control control)
{
	if (!_session) return Error::GONE;
	uint64_t value = 0;
	if (auto const setting = setting_of(control.command, CONTROL_READ)) {
		if (control.out.size() < sizeof(value)) return Error::INVALID;
		auto const found = _session->setting(*setting);
		if (!found.ok()) return found.error();
		value = found.value();
		__builtin_memcpy(control.out.data(), &value, sizeof(value));
		return sizeof(value);
	}
	if (auto const setting = setting_of(control.command, CONTROL_WRITE)) {
		if (control.in.size() != sizeof(value)) return Error::INVALID;
		__builtin_memcpy(&value, control.in.data(), sizeof(value));
		return _set(job, *setting, value);
	}
	if (auto const action = action_of(control.command)) return _act(job, *action);
	return Error::NOT_SUPPORTED;
}

Char_node::Char_node(Allocator &allocator, Executor &executor, Calendar const &calendar,
	Char_device &d, Ownership const &ownership)
	: _allocator(allocator),
	  _executor(executor),
	  _ownership(ownership),
	  _made_ns(calendar.now_ns()),
	  device(d)
{}

Task<Stat> Char_node::stat(Job &)
{
	return Stat{.type = Type::CHAR_DEVICE,
		.mode = _ownership.mode,
		.uid = _ownership.uid,
		.gid = _ownership.gid,
		.inode = 1,
		.accessed_ns = _made_ns,
		.modified_ns = _made_ns,
		.changed_ns = _made_ns};
}

/* `echo > device` truncates, `touch` changes times: neither means anything here. */
Task<void> Char_node::change(Job &, Changes const &changes)
{
	if (changes.mode || changes.uid || changes.gid) return Error::READ_ONLY;
	return Ok{};
}

/* Gives a session the values that sessions begin with. */
Task<void> Char_node::_begin(Job &job, Char_session &session)
{
	for (uint32_t i = 0; i < SETTINGS; ++i) {
		Setting const setting = static_cast<Setting>(i);
		if (initial(setting)) CO_TRY(co_await session.set(job, setting, *initial(setting)));
	}
	co_return Ok{};
}

Task<Ref<File>> Char_node::_open(Job &job, Opener opener, Ref<Char_file> file)
{
	CO_TRY_ASSIGN(Char_session *const session, co_await device.open(job, opener));
	file->begin(*session);
	Attempt<void> const begun = co_await _begin(job, *session);
	if (begun.ok()) co_return Ref<File>(std::move(file));
	static_cast<void>(co_await file->close(job));
	co_return begun.error();
}

Task<Ref<File>> Char_node::open(Job &job, Credentials const &who, Access access)
{
	// Made first: a session that was opened must find its place.
	auto file = create_counted<Char_file>(_allocator, Ref<Char_node>(*this));
	if (!file.ok()) return file.error();
	Opener const opener{
		.who = who, .read = access.read, .write = access.write, .nonblocking = access.nonblocking};
	return _open(job, opener, std::move(file).value());
}

Task<uint64_t> Char_node::probe(Job &job, Setting setting)
{
	Opener const opener{.write = false, .nonblocking = true};
	CO_TRY_ASSIGN(Char_session *const session, co_await device.open(job, opener));
	Attempt<uint64_t> const value = session->setting(setting);
	static_cast<void>(co_await session->close(job));
	co_return value;
}

Task<void> Char_node::try_out(Job &job, Setting setting, uint64_t value)
{
	Opener const opener{.nonblocking = true};
	CO_TRY_ASSIGN(Char_session *const session, co_await device.open(job, opener));
	Attempt<void> const result = co_await session->set(job, setting, value);
	static_cast<void>(co_await session->close(job));
	co_return result;
}

} // namespace bulkhead::vfs
