#include "vfs/name.h"
#include "vfs/plugin/host/system.h"

#include <cerrno>
#include <fcntl.h>

namespace bulkhead::vfs {

namespace {

/* The most that one call reads or writes; more is done in turns, so that no buffer is larger. */
constexpr size_t TURN_MAX = 256 * 1024;
constexpr size_t ENTRIES_BYTES = 32 * 1024;

class Host_file final : public File
{
private:
	Ref<Host_volume> const _volume;
	Ref<Descriptor> const _descriptor;

	Task<size_t> _read_turn(Job &, Mutable_bytes to, uint64_t offset);

protected:
	void unreferenced() override
	{
		Ref<Host_volume> const volume = _volume;
		destroy(volume->allocator, *this);
	}

public:
	Host_file(Allocator &, Ref<Host_volume> volume, Ref<Descriptor> descriptor)
		: _volume(std::move(volume)), _descriptor(std::move(descriptor))
	{}

	Task<size_t> read(Job &, Mutable_bytes, Io) override;
	Task<size_t> write(Job &, Bytes, Io) override;
	Task<void> sync(Job &) override;
};

Task<size_t> Host_file::_read_turn(Job &job, Mutable_bytes to, uint64_t offset)
{
	CO_TRY_ASSIGN(Buffer buffer, Buffer::create(_volume->allocator, to.size()));
	auto function = [fd = _descriptor, buffer = std::move(buffer),
						offset]() mutable -> Attempt<std::pair<Buffer, size_t>> {
		size_t const n = TRY(host::read(fd->number(), offset, buffer.bytes()));
		return std::pair(std::move(buffer), n);
	};
	CO_TRY_ASSIGN(auto const read, co_await _volume->call(job, std::move(function)));
	co_return copy_bytes(to, read.first.bytes().first(read.second));
}

Task<size_t> Host_file::read(Job &job, Mutable_bytes to, Io io)
{
	size_t done = 0;
	while (done < to.size()) {
		size_t const n = std::min(to.size() - done, TURN_MAX);
		if (io.offset > INT64_MAX - done) break;
		Attempt<size_t> const read =
			co_await _read_turn(job, to.subspan(done, n), io.offset + done);
		if (!read.ok() && done == 0) co_return read.error();
		if (!read.ok()) break;
		done += read.value();
		if (read.value() < n) break;
	}
	co_return done;
}

Task<size_t> Host_file::write(Job &job, Bytes from, Io io)
{
	size_t done = 0;
	while (done < from.size()) {
		Bytes const turn = from.subspan(done, std::min(from.size() - done, TURN_MAX));
		CO_TRY_ASSIGN(Buffer buffer, Buffer::create(_volume->allocator, turn.size()));
		copy_bytes(buffer.bytes(), turn);
		auto function = [fd = _descriptor, buffer = std::move(buffer),
							offset = io.offset + done]() mutable {
			return host::write(fd->number(), offset, buffer.bytes());
		};
		if (io.offset > INT64_MAX - done) co_return done ? Attempt<size_t>(done) : Error::RANGE;
		Attempt<size_t> const written = co_await _volume->call(job, std::move(function));
		if (!written.ok() && done == 0) co_return written.error();
		if (!written.ok()) break;
		done += written.value();
		if (written.value() < turn.size()) break;
	}
	co_return done;
}

Task<void> Host_file::sync(Job &job)
{
	auto function = [fd = _descriptor]() -> Attempt<void> {
		if (fsync(fd->number()) < 0) return error_of_errno(errno);
		return Ok{};
	};
	return _volume->call(job, std::move(function));
}

/* An open directory. Its position is that of its descriptor, so one call at a time uses it. */
class Host_directory_file final : public File
{
private:
	/* The turn of a call, also of one whose caller has gone. */
	class Turn
	{
	private:
		Ref<Host_directory_file> _file;

	public:
		explicit Turn(Host_directory_file &file) : _file(file) { file._busy = true; }
		Turn(Turn &&) = default;
		~Turn()
		{
			if (!_file) return;
			_file->_busy = false;
			_file->_free.raise();
		}
	};

	Ref<Host_volume> const _volume;
	Ref<Descriptor> const _descriptor;
	bool _busy = false;
	Event _free{};

	Task<std::pair<Buffer, size_t>> _read_some(Job &, uint64_t cookie);

protected:
	void unreferenced() override
	{
		Ref<Host_volume> const volume = _volume;
		destroy(volume->allocator, *this);
	}

public:
	Host_directory_file(Allocator &, Ref<Host_volume> volume, Ref<Descriptor> descriptor)
		: _volume(std::move(volume)), _descriptor(std::move(descriptor))
	{}

	Task<void> read_directory(Job &, uint64_t from_cookie, Entry_sink &) override;
};

Task<std::pair<Buffer, size_t>> Host_directory_file::_read_some(Job &job, uint64_t cookie)
{
	CO_TRY_ASSIGN(Buffer buffer, Buffer::create(_volume->allocator, ENTRIES_BYTES));
	while (_busy) CO_TRY(co_await _free.wait(job));
	auto function = [turn = Turn(*this), fd = _descriptor, buffer = std::move(buffer),
						cookie]() mutable -> Attempt<std::pair<Buffer, size_t>> {
		size_t const n = TRY(host::read_entries(fd->number(), cookie, buffer.bytes()));
		return std::pair(std::move(buffer), n);
	};
	co_return co_await _volume->call(job, std::move(function));
}

Task<void> Host_directory_file::read_directory(Job &job, uint64_t from_cookie, Entry_sink &sink)
{
	uint64_t cookie = from_cookie;
	for (;;) {
		CO_TRY_ASSIGN(auto const some, co_await _read_some(job, cookie));
		Bytes rest = some.first.bytes().first(some.second);
		if (rest.empty()) co_return Ok{};
		while (!rest.empty()) {
			host::Entry const entry = host::take_entry(rest);
			cookie = entry.next_cookie;
			if (entry.name.empty()) continue;
			if (!sink.entry(entry.name, entry.type, entry.inode, cookie)) co_return Ok{};
		}
	}
}

/* Callers check names; here an unchecked one would lead out of the directory. */
Attempt<void> checked(std::string_view name)
{
	if (name.size() > NAME_MAX_BYTES) return Error::TOO_LONG;
	if (!valid_name(name)) return Error::INVALID;
	return Ok{};
}

int flags_of(Access access)
{
	int const mode = !access.write ? O_RDONLY : access.read ? O_RDWR : O_WRONLY;
	return mode | O_NONBLOCK | (access.append ? O_APPEND : 0) | (access.truncate ? O_TRUNC : 0);
}

} // namespace

Host_node::Host_node(Ref<Host_volume> volume, Identity const &identity, Type type)
	: _volume(std::move(volume)), _identity(identity), _type(type)
{}

Host_node::~Host_node() { _volume->forget(*this); }

void Host_node::unreferenced()
{
	// A node goes before the one above it, one after the other.
	Ref<Host_volume> const volume = _volume;
	Ref<Host_node> above = std::move(_parent);
	destroy(volume->allocator, *this);
	while (above && above->references() == 1) {
		Ref<Host_node> next = std::move(above->_parent);
		above = std::move(next);
	}
}

Attempt<void> Host_node::_check_writable(std::string_view name) const
{
	if (_type != Type::DIRECTORY) return Error::NOT_A_DIRECTORY;
	if (!_volume->writable) return Error::READ_ONLY;
	return checked(name);
}

Task<Ref<Descriptor>> Host_node::_open_descriptor(Job &job)
{
	if (!_descriptor) return _find_again(job);
	_volume->use_again(*this);
	return _descriptor;
}

Task<Ref<Descriptor>> Host_node::_find_again(Job &job)
{
	constexpr size_t PATH_BYTES = 4096;
	CO_TRY_ASSIGN(Buffer path, Buffer::create(_volume->allocator, PATH_BYTES));
	size_t begin = PATH_BYTES;
	path.bytes()[--begin] = 0;
	Host_node *above = this;
	for (; !above->_descriptor; above = above->_parent.pointer()) {
		if (!above->_parent) co_return Error::NOT_FOUND;
		std::string_view const name = above->_name.c_str();
		if (name.size() + 1 > begin) co_return Error::TOO_LONG;
		if (begin != PATH_BYTES - 1) path.bytes()[--begin] = '/';
		begin -= name.size();
		copy_bytes(path.bytes().subspan(begin), bytes_of(name));
	}
	auto function = [fd = above->_descriptor, path = std::move(path), begin] {
		return host::find(fd->number(), path.c_str() + begin);
	};
	CO_TRY_ASSIGN(Found found, co_await _volume->call(job, std::move(function)));
	if (found.identity != _identity) co_return Error::NOT_FOUND;
	if (!_descriptor) {
		CO_TRY_ASSIGN(Ref<Descriptor> descriptor, _volume->share(std::move(found.fd)));
		_volume->use(*this, std::move(descriptor));
	}
	co_return _descriptor;
}

Task<Stat> Host_node::stat(Job &job)
{
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	auto function = [fd = std::move(descriptor)] { return host::stat(fd->number()); };
	co_return co_await _volume->call(job, std::move(function));
}

Task<void> Host_node::change(Job &job, Changes const &changes)
{
	if (!_volume->writable) co_return Error::READ_ONLY;
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	auto function = [fd = std::move(descriptor), volume = _volume, type = _type, wanted = changes] {
		return host::change(volume->proc.number(), fd->number(), type, wanted);
	};
	co_return co_await _volume->call(job, std::move(function));
}

Task<Space> Host_node::space(Job &job)
{
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	auto function = [fd = std::move(descriptor)] { return host::space(fd->number()); };
	co_return co_await _volume->call(job, std::move(function));
}

Task<Ref<File>> Host_node::open(Job &job, Credentials const &, Access access)
{
	bool const directory = _type == Type::DIRECTORY;
	if (access.append) access.write = true;
	if (_type == Type::SYMLINK) co_return Error::NOT_SUPPORTED;
	if (access.write && directory) co_return Error::IS_A_DIRECTORY;
	if ((access.write || access.truncate) && !_volume->writable) co_return Error::READ_ONLY;
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	CO_TRY(_volume->make_room());
	int const flags = directory ? O_RDONLY | O_DIRECTORY : flags_of(access);
	auto function = [fd = std::move(descriptor), volume = _volume, flags] {
		return host::open_again(volume->proc.number(), fd->number(), flags);
	};
	CO_TRY_ASSIGN(Unique_fd opened, co_await _volume->call(job, std::move(function)));
	CO_TRY_ASSIGN(Ref<Descriptor> shared, _volume->share(std::move(opened)));
	Allocator &allocator = _volume->allocator;
	if (directory)
		co_return co_await open_as<Host_directory_file>(allocator, _volume, std::move(shared));
	co_return co_await open_as<Host_file>(allocator, _volume, std::move(shared));
}

Task<size_t> Host_node::read_link(Job &job, std::span<char> to)
{
	if (_type != Type::SYMLINK) co_return Error::INVALID;
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	CO_TRY_ASSIGN(Buffer buffer, Buffer::create(_volume->allocator, LINK_MAX_BYTES));
	auto function = [fd = std::move(descriptor),
						buffer =
							std::move(buffer)]() mutable -> Attempt<std::pair<Buffer, size_t>> {
		size_t const n = TRY(host::read_link(fd->number(), buffer.bytes()));
		return std::pair(std::move(buffer), n);
	};
	CO_TRY_ASSIGN(auto const target, co_await _volume->call(job, std::move(function)));
	co_return copy_bytes({reinterpret_cast<uint8_t *>(to.data()), to.size()},
		target.first.bytes().first(target.second));
}

Task<Ref<Node>> Host_node::lookup(Job &job, std::string_view name)
{
	if (_type != Type::DIRECTORY) co_return Error::NOT_A_DIRECTORY;
	CO_TRY(checked(name));
	CO_TRY_ASSIGN(Buffer sought, Buffer::copy(_volume->allocator, name));
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	auto function = [fd = std::move(descriptor), sought = std::move(sought)] {
		return host::find(fd->number(), sought.c_str());
	};
	CO_TRY_ASSIGN(Found found, co_await _volume->call(job, std::move(function)));
	CO_TRY_ASSIGN(Ref<Host_node> node, _volume->node_of(std::move(found), this, name));
	co_return node;
}

Task<Ref<Node>> Host_node::create(
	Job &job, Credentials const &who, std::string_view name, New_node const &node)
{
	CO_TRY(_check_writable(name));
	CO_TRY_ASSIGN(Buffer made, Buffer::copy(_volume->allocator, name));
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	CO_TRY_ASSIGN(Buffer target, Buffer::copy(_volume->allocator, node.target));
	host::Creation const how{.type = node.type,
		.mode = static_cast<uint16_t>(node.mode & 07777),
		.uid = who.uid,
		.gid = who.gid};
	auto function = [fd = std::move(descriptor), volume = _volume, made = std::move(made), how,
						target = std::move(target)]() mutable {
		host::Creation creation = how;
		creation.target = target.c_str();
		return host::create(volume->proc.number(), fd->number(), made.c_str(), creation);
	};
	CO_TRY_ASSIGN(Found found, co_await _volume->call(job, std::move(function)));
	CO_TRY_ASSIGN(Ref<Host_node> result, _volume->node_of(std::move(found), this, name));
	co_return result;
}

Task<void> Host_node::link(Job &job, std::string_view name, Node &node)
{
	CO_TRY(_check_writable(name));
	if (node.instance() != instance()) co_return Error::CROSS_DEVICE;
	if (node.type() == Type::DIRECTORY) co_return Error::IS_A_DIRECTORY;
	CO_TRY_ASSIGN(Buffer made, Buffer::copy(_volume->allocator, name));
	Host_node &linked = static_cast<Host_node &>(node);
	CO_TRY_ASSIGN(Ref<Descriptor> source, co_await linked._open_descriptor(job));
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	auto function = [fd = std::move(descriptor), source = std::move(source), volume = _volume,
						made = std::move(made)] {
		return host::link(volume->proc.number(), source->number(), fd->number(), made.c_str());
	};
	co_return co_await _volume->call(job, std::move(function));
}

Task<void> Host_node::remove(Job &job, std::string_view name, bool directory)
{
	CO_TRY(_check_writable(name));
	CO_TRY_ASSIGN(Buffer removed, Buffer::copy(_volume->allocator, name));
	CO_TRY_ASSIGN(Ref<Descriptor> descriptor, co_await _open_descriptor(job));
	auto function = [fd = std::move(descriptor), removed = std::move(removed), directory] {
		return host::remove(fd->number(), removed.c_str(), directory);
	};
	CO_TRY_ASSIGN(Removed lost, co_await _volume->call(job, std::move(function)));
	_volume->removed(std::move(lost));
	co_return Ok{};
}

Task<void> Host_node::rename(
	Job &job, std::string_view name, Node &to, std::string_view new_name, Rename how)
{
	CO_TRY(_check_writable(name));
	if (to.instance() != instance()) co_return Error::CROSS_DEVICE;
	Host_node &goal = static_cast<Host_node &>(to);
	CO_TRY(goal._check_writable(new_name));
	CO_TRY_ASSIGN(Buffer old_one, Buffer::copy(_volume->allocator, name));
	CO_TRY_ASSIGN(Buffer new_one, Buffer::copy(_volume->allocator, new_name));
	CO_TRY_ASSIGN(Ref<Descriptor> source, co_await _open_descriptor(job));
	CO_TRY_ASSIGN(Ref<Descriptor> target, co_await goal._open_descriptor(job));
	auto function = [from = std::move(source), into = std::move(target),
						old_one = std::move(old_one), new_one = std::move(new_one), how] {
		return host::rename(from->number(), old_one.c_str(), into->number(), new_one.c_str(), how);
	};
	CO_TRY_ASSIGN(host::Renamed renamed, co_await _volume->call(job, std::move(function)));
	bool const same = renamed.replaced && renamed.replaced->identity == renamed.moved;
	if (same) co_return Ok{};
	if (renamed.replaced && how == Rename::EXCHANGE)
		_volume->moved(renamed.replaced->identity, *this, name);
	else
		_volume->removed(std::move(renamed.replaced));
	_volume->moved(renamed.moved, goal, new_name);
	co_return Ok{};
}

} // namespace bulkhead::vfs
