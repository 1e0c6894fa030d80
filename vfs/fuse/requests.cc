// What each request of the kernel means for nodes and files.

#include "vfs/fuse/attributes.h"
#include "vfs/fuse/entry_list.h"
#include "vfs/fuse/session.h"
#include "vfs/name.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <linux/fs.h>
#include <sys/stat.h>

namespace bulkhead::fuse {

namespace {

constexpr unsigned BACKGROUND_MAX = 64; // read-ahead and the like at a time
constexpr size_t STATFS_BLOCK = 4096;

double seconds_of(Located const &located) { return located.node->cache_us() * 1e-6; }

Attempt<void> check_name(std::string_view name)
{
	if (name.size() > vfs::NAME_MAX_BYTES) return Error::TOO_LONG;
	if (!vfs::valid_name(name)) return Error::INVALID;
	return Ok{};
}

} // namespace

/* Begins a request of several steps on a node that the kernel names. */
template <typename STEPS>
void Session::_start(fuse_req_t request, Located node, STEPS &&steps)
{
	if (!node.node) {
		fuse_reply_err(request, ESTALE);
		return;
	}
	Operation *const operation = _begin(request);
	if (operation) _wait(*operation, steps(operation->job(), *operation, std::move(node)));
}

void Session::init(fuse_conn_info *connection)
{
	connection->max_write = static_cast<unsigned>(_limits.io_bytes);
	connection->max_read = 0; // as much as the kernel has pages for
	connection->max_background = BACKGROUND_MAX;
	connection->time_gran = 1;
}

// Names and nodes

Task<void> Session::_fill_entry(Job &job, Located node, fuse_entry_param &entry)
{
	CO_TRY_ASSIGN(vfs::Stat const stat, co_await node.node->stat(job));
	entry.attr = attributes_of(stat);
	entry.attr.st_ino = node.shown_inode(stat.inode);
	entry.attr_timeout = entry.entry_timeout = seconds_of(node);
	entry.ino = _nodes.remember(std::move(node));
	if (!entry.ino) co_return Error::TOO_MANY_OPEN;
	co_return Ok{};
}

Task<void> Session::_reply_entry(Job &job, Operation &operation, Located node)
{
	fuse_entry_param entry{};
	CO_TRY(co_await _fill_entry(job, std::move(node), entry));
	// An answer that comes too late was not heard.
	if (fuse_reply_entry(std::exchange(operation.request, nullptr), &entry) != 0)
		_nodes.forget(entry.ino, 1);
	co_return Ok{};
}

Task<void> Session::_lookup(
	Job &job, Operation &operation, Located directory, std::string_view name)
{
	CO_TRY(check_name(name));
	Attempt<Ref<vfs::Node>> found = co_await directory.node->lookup(job, name);
	if (found.ok()) {
		Located node{std::move(found).value(), _nodes.instance_of(directory, name)};
		co_return co_await _reply_entry(job, operation, std::move(node));
	}
	if (found.error() != Error::NOT_FOUND || !directory.node->cache_us()) co_return found.error();
	// The kernel may remember that there is nothing, too.
	fuse_entry_param nothing{};
	nothing.entry_timeout = seconds_of(directory);
	fuse_reply_entry(std::exchange(operation.request, nullptr), &nothing);
	co_return Ok{};
}

void Session::lookup(fuse_req_t request, fuse_ino_t parent, char const *name)
{
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		return _lookup(job, operation, std::move(directory), name);
	});
}

void Session::forget(fuse_req_t request, fuse_ino_t number, uint64_t lookups)
{
	_nodes.forget(number, lookups);
	fuse_reply_none(request);
}

void Session::forget_multi(fuse_req_t request, size_t count, fuse_forget_data *forgotten)
{
	for (size_t i = 0; i < count; ++i) _nodes.forget(forgotten[i].ino, forgotten[i].nlookup);
	fuse_reply_none(request);
}

void Session::_answer_attributes(Operation &operation, Located const &node, Attempt<vfs::Stat> stat)
{
	if (!stat.ok()) return _fail(operation, errno_of_request(stat.error()));
	struct stat attributes = attributes_of(stat.value());
	attributes.st_ino = node.shown_inode(stat.value().inode);
	fuse_reply_attr(std::exchange(operation.request, nullptr), &attributes, seconds_of(node));
}

Task<void> Session::_attributes(Job &, Operation &operation, Located node, Task<vfs::Stat> task)
{
	Attempt<vfs::Stat> const stat = co_await task;
	_answer_attributes(operation, node, stat);
	co_return Ok{};
}

void Session::getattr(fuse_req_t request, fuse_ino_t number, fuse_file_info *)
{
	Located node = _nodes.find(number);
	if (!node.node) {
		fuse_reply_err(request, ESTALE);
		return;
	}
	Operation *const operation = _begin(request);
	if (!operation) return;
	Task<vfs::Stat> task = node.node->stat(operation->job());
	if (task.ready()) {
		_answer_attributes(*operation, node, task.take());
		return _end(*operation);
	}
	_wait(*operation, _attributes(operation->job(), *operation, std::move(node), std::move(task)));
}

Task<void> Session::_change(Job &job, Operation &operation, Located node, vfs::Changes changes)
{
	CO_TRY(co_await node.node->change(job, changes));
	Attempt<vfs::Stat> const stat = co_await node.node->stat(job);
	_answer_attributes(operation, node, stat);
	co_return Ok{};
}

void Session::setattr(
	fuse_req_t request, fuse_ino_t number, struct stat *wanted, int to_set, fuse_file_info *)
{
	if ((to_set & FUSE_SET_ATTR_SIZE) && wanted->st_size < 0) {
		fuse_reply_err(request, EINVAL);
		return;
	}
	vfs::Changes const changes = changes_of(*wanted, to_set);
	_start(request, _nodes.find(number), [&](Job &job, Operation &operation, auto node) {
		return _change(job, operation, std::move(node), changes);
	});
}

Task<void> Session::_read_link(Job &job, Operation &operation, Located node)
{
	Mutable_bytes const buffer = _output(operation, vfs::LINK_MAX_BYTES + 1);
	if (buffer.empty()) co_return Error::OUT_OF_MEMORY;
	char *const text = reinterpret_cast<char *>(buffer.data());
	CO_TRY_ASSIGN(
		size_t const size, co_await node.node->read_link(job, {text, vfs::LINK_MAX_BYTES}));
	if (size > vfs::LINK_MAX_BYTES) co_return Error::IO;
	text[size] = '\0';
	fuse_reply_readlink(std::exchange(operation.request, nullptr), text);
	co_return Ok{};
}

void Session::readlink(fuse_req_t request, fuse_ino_t number)
{
	_start(request, _nodes.find(number), [&](Job &job, Operation &operation, auto node) {
		return _read_link(job, operation, std::move(node));
	});
}

Task<void> Session::_make(
	Job &job, Operation &operation, Located directory, std::string_view name, vfs::New_node wanted)
{
	CO_TRY(check_name(name));
	Credentials const caller = _caller(operation.request);
	CO_TRY_ASSIGN(Ref<vfs::Node> made, co_await directory.node->create(job, caller, name, wanted));
	Located node{std::move(made), directory.instance};
	co_return co_await _reply_entry(job, operation, std::move(node));
}

void Session::mknod(fuse_req_t request, fuse_ino_t parent, char const *name, mode_t mode, dev_t)
{
	if (!S_ISREG(mode)) {
		fuse_reply_err(request, EPERM); // a type that this file system doesn't have
		return;
	}
	vfs::New_node const wanted{.mode = static_cast<uint16_t>(mode & 07777)};
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		return _make(job, operation, std::move(directory), name, wanted);
	});
}

void Session::mkdir(fuse_req_t request, fuse_ino_t parent, char const *name, mode_t mode)
{
	vfs::New_node const wanted{
		.type = vfs::Type::DIRECTORY, .mode = static_cast<uint16_t>(mode & 07777)};
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		return _make(job, operation, std::move(directory), name, wanted);
	});
}

void Session::symlink(fuse_req_t request, char const *target, fuse_ino_t parent, char const *name)
{
	vfs::New_node const wanted{.type = vfs::Type::SYMLINK, .mode = 0777, .target = target};
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		return _make(job, operation, std::move(directory), name, wanted);
	});
}

Task<void> Session::_remove(
	Job &job, Operation &operation, Located directory, std::string_view name, bool wants_directory)
{
	CO_TRY(check_name(name));
	CO_TRY(co_await directory.node->remove(job, name, wants_directory));
	_fail(operation, 0);
	co_return Ok{};
}

void Session::unlink(fuse_req_t request, fuse_ino_t parent, char const *name)
{
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		return _remove(job, operation, std::move(directory), name, false);
	});
}

void Session::rmdir(fuse_req_t request, fuse_ino_t parent, char const *name)
{
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		return _remove(job, operation, std::move(directory), name, true);
	});
}

Task<void> Session::_rename(Job &job, Operation &operation, Located from, std::string_view name,
	Located to, std::string_view new_name, vfs::Rename how)
{
	CO_TRY(check_name(name));
	CO_TRY(check_name(new_name));
	CO_TRY(co_await from.node->rename(job, name, *to.node, new_name, how));
	_fail(operation, 0);
	co_return Ok{};
}

void Session::rename(fuse_req_t request, fuse_ino_t parent, char const *name, fuse_ino_t new_parent,
	char const *new_name, unsigned flags)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
		fuse_reply_err(request, EINVAL);
		return;
	}
	vfs::Rename how = vfs::Rename::REPLACE;
	if (flags & RENAME_NOREPLACE) how = vfs::Rename::NO_REPLACE;
	if (flags & RENAME_EXCHANGE) how = vfs::Rename::EXCHANGE;
	Located to = _nodes.find(new_parent);
	Located const from = to.node ? _nodes.find(parent) : to;
	_start(request, from, [&](Job &job, Operation &operation, auto directory) {
		return _rename(job, operation, std::move(directory), name, std::move(to), new_name, how);
	});
}

Task<void> Session::_link(
	Job &job, Operation &operation, Located directory, Located node, std::string_view name)
{
	CO_TRY(check_name(name));
	CO_TRY(co_await directory.node->link(job, name, *node.node));
	co_return co_await _reply_entry(job, operation, std::move(node));
}

void Session::link(fuse_req_t request, fuse_ino_t number, fuse_ino_t parent, char const *name)
{
	Located node = _nodes.find(number);
	Located const into = node.node ? _nodes.find(parent) : node;
	_start(request, into, [&](Job &job, Operation &operation, auto directory) {
		return _link(job, operation, std::move(directory), std::move(node), name);
	});
}

// Open files

Task<void> Session::_open_handle(Job &job, Operation &operation, Located node, fuse_file_info &info)
{
	vfs::Access const access = access_of(info.flags);
	CO_TRY_ASSIGN(
		Ref<vfs::File> file, co_await node.node->open(job, _caller(operation.request), access));
	// A file that has something to read but no size is read as it is, past the page cache, which
	// would ask for nothing. So are devices. Who reads and writes a file may want to map it, which
	// needs the cache.
	vfs::Type const type = node.node->type();
	info.keep_cache = node.node->cache_us() != 0;
	info.direct_io = type == vfs::Type::CHAR_DEVICE;
	if (type == vfs::Type::FILE && !info.keep_cache && !access.write) {
		Attempt<vfs::Stat> const stat = co_await node.node->stat(job);
		info.direct_io = stat.ok() && stat.value().size == 0;
	}
	auto handle = std::make_unique<Handle>(_changes, std::move(node), file, access);
	info.fh = _handles.add(std::move(handle));
	if (info.fh) co_return Ok{};
	(void)co_await file->close(job);
	co_return Error::TOO_MANY_OPEN;
}

Task<void> Session::_open(Job &job, Operation &operation, Located node, fuse_file_info info)
{
	CO_TRY(co_await _open_handle(job, operation, std::move(node), info));
	// Who was interrupted in the last moment has no descriptor that would ever be closed.
	if (fuse_reply_open(std::exchange(operation.request, nullptr), &info) != 0)
		co_return co_await _close(job, operation, _handles.take(info.fh));
	co_return Ok{};
}

void Session::open(fuse_req_t request, fuse_ino_t number, fuse_file_info *info)
{
	_start(request, _nodes.find(number), [&](Job &job, Operation &operation, auto node) {
		return _open(job, operation, std::move(node), *info);
	});
}

Task<void> Session::_create(Job &job, Operation &operation, Located directory,
	std::string_view name, uint16_t mode, fuse_file_info info)
{
	CO_TRY(check_name(name));
	Credentials const caller = _caller(operation.request);
	vfs::New_node const wanted{.mode = mode};
	Attempt<Ref<vfs::Node>> made = co_await directory.node->create(job, caller, name, wanted);
	if (!made.ok() && made.error() == Error::EXISTS && !(info.flags & O_EXCL)) {
		// Somebody was faster than the kernel's lookup, and the kernel has yet to see what is
		// there: a link to follow, or a file that the caller may not open. So it looks and opens
		// again.
		_fail(operation, ESTALE);
		co_return Ok{};
	}
	if (!made.ok()) co_return made.error();
	Located node{std::move(made).value(), directory.instance};
	CO_TRY(co_await _open_handle(job, operation, node, info));
	fuse_entry_param entry{};
	Attempt<void> const filled = co_await _fill_entry(job, std::move(node), entry);
	bool heard = false;
	if (filled.ok()) {
		fuse_req_t const request = std::exchange(operation.request, nullptr);
		heard = fuse_reply_create(request, &entry, &info) == 0;
		if (!heard) _nodes.forget(entry.ino, 1);
	} else
		_fail(operation, errno_of_request(filled.error()));
	if (!heard) co_return co_await _close(job, operation, _handles.take(info.fh));
	co_return Ok{};
}

void Session::create(
	fuse_req_t request, fuse_ino_t parent, char const *name, mode_t mode, fuse_file_info *info)
{
	_start(request, _nodes.find(parent), [&](Job &job, Operation &operation, auto directory) {
		uint16_t const bits = static_cast<uint16_t>(mode & 07777);
		return _create(job, operation, std::move(directory), name, bits, *info);
	});
}

Task<void> Session::_close(Job &job, Operation &operation, std::unique_ptr<Handle> handle)
{
	{
		// The kernel closes after all else; whoever doesn't is made to wait, not believed.
		Job::Shield const shield(job, NEVER_US);
		while (handle->used()) (void)co_await handle->unused().wait(job);
	}
	handle->leave();
	(void)co_await handle->file->close(job);
	handle.reset();
	_fail(operation, 0);
	co_return Ok{};
}

void Session::release(fuse_req_t request, fuse_ino_t, fuse_file_info *info)
{
	if (!_handle(info)) {
		fuse_reply_err(request, ESTALE);
		return;
	}
	Operation &operation = *_begin(request, Reserve::USE);
	_wait(operation, _close(operation.job(), operation, _handles.take(info->fh)));
}

void Session::_answer_transfer(Operation &operation, Attempt<size_t> size, Bytes buffer)
{
	if (!size.ok()) return _fail(operation, errno_of_transfer(size.error()));
	fuse_reply_buf(std::exchange(operation.request, nullptr),
		reinterpret_cast<char const *>(buffer.data()), std::min(size.value(), buffer.size()));
}

Task<void> Session::_read(Job &, Operation &operation, Task<size_t> task, Mutable_bytes buffer)
{
	Attempt<size_t> const size = co_await task;
	_answer_transfer(operation, size, buffer);
	co_return Ok{};
}

/* What reading a file and a directory begin with. Without operation: the kernel has been told why.
 */
Session::Reading Session::_begin_reading(
	fuse_req_t request, fuse_file_info const *info, size_t size, off_t offset)
{
	Handle *const handle = _handle(info);
	if (!handle || offset < 0) {
		fuse_reply_err(request, handle ? EINVAL : ESTALE);
		return {};
	}
	Operation *const operation = _begin(request);
	if (!operation) return {};
	Mutable_bytes const buffer = _output_or_end(*operation, size);
	if (size && buffer.empty()) return {};
	return {operation, handle, buffer};
}

void Session::read(fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info *info)
{
	auto const [operation, handle, buffer] = _begin_reading(request, info, size, offset);
	if (!operation) return;
	if (!handle->access.read) {
		_fail(*operation, EBADF);
		return _end(*operation);
	}
	Io const io{
		.offset = static_cast<uint64_t>(offset), .nonblocking = (info->flags & O_NONBLOCK) != 0};
	Task<size_t> task = handle->file->read(operation->job(), buffer, io);
	if (task.ready()) {
		_answer_transfer(*operation, task.take(), buffer);
		return _end(*operation);
	}
	_wait(*operation, _read(operation->job(), *operation, std::move(task), buffer), handle);
}

std::optional<Attempt<size_t>> Session::read_at_once(
	uint64_t number, Mutable_bytes to, uint64_t offset)
{
	std::unique_ptr<Handle> *const found = _handles.find(number);
	if (!found || !(*found)->access.read || offset > INT64_MAX) return {};
	Handle &handle = **found;
	// Reading a device twice is not the same as once.
	if (handle.location.node->type() != vfs::Type::FILE) return {};
	if (_free_operations.empty()) return {};
	Job &job = _free_operations.front()->job();
	Task<size_t> task = handle.file->read(job, to, {.offset = offset});
	if (!task.ready()) return {};
	return task.take();
}

void Session::_answer_write(Operation &operation, Attempt<size_t> size)
{
	if (!size.ok()) return _fail(operation, errno_of_transfer(size.error()));
	fuse_reply_write(std::exchange(operation.request, nullptr), size.value());
}

Task<void> Session::_write(Job &, Operation &operation, Task<size_t> task)
{
	Attempt<size_t> const size = co_await task;
	_answer_write(operation, size);
	co_return Ok{};
}

void Session::write(fuse_req_t request, fuse_ino_t, char const *data, size_t size, off_t offset,
	fuse_file_info *info)
{
	Handle *const handle = _handle(info);
	if (!handle || offset < 0) {
		fuse_reply_err(request, handle ? EINVAL : ESTALE);
		return;
	}
	if (!handle->access.write) {
		fuse_reply_err(request, EBADF);
		return;
	}
	Operation *const operation = _begin(request);
	if (!operation) return;
	Io const io{
		.offset = static_cast<uint64_t>(offset), .nonblocking = (info->flags & O_NONBLOCK) != 0};
	Bytes const bytes(reinterpret_cast<uint8_t const *>(data), size);
	Task<size_t> task = handle->file->write(operation->job(), bytes, io);
	if (task.ready()) {
		_answer_write(*operation, task.take());
		return _end(*operation);
	}
	_wait(*operation, _write(operation->job(), *operation, std::move(task)), handle);
}

Task<void> Session::_sync(Job &job, Operation &operation, Handle &handle)
{
	CO_TRY(co_await handle.file->sync(job));
	_fail(operation, 0);
	co_return Ok{};
}

void Session::fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info *info)
{
	Handle *const handle = _handle(info);
	if (!handle) {
		fuse_reply_err(request, ESTALE);
		return;
	}
	Operation *const operation = _begin(request);
	if (operation) _wait(*operation, _sync(operation->job(), *operation, *handle), handle);
}

void Session::poll(fuse_req_t request, fuse_ino_t, fuse_file_info *info, fuse_pollhandle *poll)
{
	Handle *const handle = _handle(info);
	if (!handle) {
		if (poll) fuse_pollhandle_destroy(poll);
		fuse_reply_err(request, ESTALE);
		return;
	}
	unsigned const events = handle->poll(poll, info->poll_events);
	fuse_reply_poll(request, events);
}

void Session::_answer_control(Operation &operation, Attempt<size_t> size, Bytes buffer)
{
	if (!size.ok()) return _fail(operation, errno_of_control(size.error()));
	fuse_reply_ioctl(std::exchange(operation.request, nullptr), 0, buffer.data(),
		std::min(size.value(), buffer.size()));
}

Task<void> Session::_control(Job &, Operation &operation, Task<size_t> task, Mutable_bytes buffer)
{
	Attempt<size_t> const size = co_await task;
	_answer_control(operation, size, buffer);
	co_return Ok{};
}

void Session::ioctl(fuse_req_t request, fuse_ino_t, unsigned command, void *, fuse_file_info *info,
	unsigned flags, void const *in, size_t in_size, size_t out_size)
{
	Handle *const handle = _handle(info);
	if (!handle || (flags & FUSE_IOCTL_UNRESTRICTED)) {
		fuse_reply_err(request, handle ? ENOTTY : ESTALE);
		return;
	}
	Operation *const operation = _begin(request);
	if (!operation) return;
	Mutable_bytes const buffer = _output_or_end(*operation, out_size);
	if (out_size && buffer.empty()) return;
	vfs::Control const control{
		.command = command, .in = Bytes(static_cast<uint8_t const *>(in), in_size), .out = buffer};
	Task<size_t> task = handle->file->control(operation->job(), control);
	if (task.ready()) {
		_answer_control(*operation, task.take(), buffer);
		return _end(*operation);
	}
	_wait(*operation, _control(operation->job(), *operation, std::move(task), buffer), handle);
}

// Directories

/* Looks the entries up, so that the kernel needn't ask for each of them. */
Task<void> Session::_describe(Job &job, Handle &handle, Entry_list &list)
{
	for (Entry_list::Entry &entry : list.entries()) {
		if (entry.next_offset <= Entry_list::OWN) continue;
		Attempt<Ref<vfs::Node>> found = co_await handle.location.node->lookup(job, entry.name);
		// What has vanished meanwhile, or may not be looked at, is told by its name only.
		if (!found.ok()) continue;
		Located node{std::move(found).value(), _nodes.instance_of(handle.location, entry.name)};
		fuse_entry_param described{};
		Attempt<void> const filled = co_await _fill_entry(job, std::move(node), described);
		if (filled.ok()) entry.attributes = described;
	}
	co_return Ok{};
}

Task<void> Session::_list(Job &job, Operation &operation, Handle &handle, uint64_t offset,
	Mutable_bytes buffer, bool plus)
{
	Entry_list list(operation.request, handle.location, buffer.size(), plus);
	if (list.take_own(offset)) {
		uint64_t const cookie = Entry_list::cookie_of(offset);
		CO_TRY(co_await handle.file->read_directory(job, cookie, list));
	}
	if (plus) CO_TRY(co_await _describe(job, handle, list));
	size_t const size = list.write(buffer);
	fuse_req_t const request = std::exchange(operation.request, nullptr);
	if (fuse_reply_buf(request, reinterpret_cast<char const *>(buffer.data()), size) == 0)
		co_return Ok{};
	for (Entry_list::Entry const &entry : list.entries())
		if (entry.attributes.ino) _nodes.forget(entry.attributes.ino, 1);
	co_return Ok{};
}

void Session::_list_request(
	fuse_req_t request, fuse_file_info const *info, size_t size, off_t offset, bool plus)
{
	auto const [operation, handle, buffer] = _begin_reading(request, info, size, offset);
	if (!operation) return;
	uint64_t const from = static_cast<uint64_t>(offset);
	_wait(*operation, _list(operation->job(), *operation, *handle, from, buffer, plus), handle);
}

void Session::readdir(
	fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info *info)
{
	_list_request(request, info, size, offset, false);
}

void Session::readdirplus(
	fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info *info)
{
	_list_request(request, info, size, offset, true);
}

Task<void> Session::_space(Job &job, Operation &operation, Located node)
{
	CO_TRY_ASSIGN(vfs::Space const space, co_await node.node->space(job));
	struct statvfs result{};
	result.f_bsize = result.f_frsize = STATFS_BLOCK;
	result.f_blocks = space.total / STATFS_BLOCK;
	result.f_bfree = result.f_bavail = space.free / STATFS_BLOCK;
	result.f_files = space.nodes_total;
	result.f_ffree = result.f_favail = space.nodes_free;
	result.f_namemax = vfs::NAME_MAX_BYTES;
	fuse_reply_statfs(std::exchange(operation.request, nullptr), &result);
	co_return Ok{};
}

void Session::statfs(fuse_req_t request, fuse_ino_t number)
{
	_start(request, _nodes.find(number), [&](Job &job, Operation &operation, auto node) {
		return _space(job, operation, std::move(node));
	});
}

// The way from libfuse's table of functions to a session

template <auto METHOD>
struct Entry_point;

template <typename... ARGS, void (Session::*METHOD)(fuse_req_t, ARGS...)>
struct Entry_point<METHOD>
{
	static void call(fuse_req_t request, ARGS... args)
	{
		(static_cast<Session *>(fuse_req_userdata(request))->*METHOD)(request, args...);
	}
};

struct Requests
{
	static void init(void *session, fuse_conn_info *connection)
	{
		static_cast<Session *>(session)->init(connection);
	}

	static fuse_lowlevel_ops table()
	{
		fuse_lowlevel_ops table{};
		table.init = init;
		table.lookup = Entry_point<&Session::lookup>::call;
		table.forget = Entry_point<&Session::forget>::call;
		table.forget_multi = Entry_point<&Session::forget_multi>::call;
		table.getattr = Entry_point<&Session::getattr>::call;
		table.setattr = Entry_point<&Session::setattr>::call;
		table.readlink = Entry_point<&Session::readlink>::call;
		table.mknod = Entry_point<&Session::mknod>::call;
		table.mkdir = Entry_point<&Session::mkdir>::call;
		table.symlink = Entry_point<&Session::symlink>::call;
		table.unlink = Entry_point<&Session::unlink>::call;
		table.rmdir = Entry_point<&Session::rmdir>::call;
		table.rename = Entry_point<&Session::rename>::call;
		table.link = Entry_point<&Session::link>::call;
		table.create = Entry_point<&Session::create>::call;
		table.open = Entry_point<&Session::open>::call;
		table.release = Entry_point<&Session::release>::call;
		table.opendir = Entry_point<&Session::open>::call;
		table.releasedir = Entry_point<&Session::release>::call;
		table.read = Entry_point<&Session::read>::call;
		table.write = Entry_point<&Session::write>::call;
		table.fsync = Entry_point<&Session::fsync>::call;
		table.readdir = Entry_point<&Session::readdir>::call;
		table.readdirplus = Entry_point<&Session::readdirplus>::call;
		table.statfs = Entry_point<&Session::statfs>::call;
		table.poll = Entry_point<&Session::poll>::call;
		table.ioctl = Entry_point<&Session::ioctl>::call;
		return table;
	}
};

bool Session::make_unmounted(Outlet &outlet)
{
	if (!make({})) return false;
	_outlet = &outlet;
	fuse_custom_io io{};
	io.writev = [](int, iovec *parts, int count, void *session) -> ssize_t {
		size_t size = 0;
		for (int i = 0; i < count; ++i) size += parts[i].iov_len;
		Outlet &to = *static_cast<Session *>(session)->_outlet;
		to.answer(std::span(parts, static_cast<size_t>(count)));
		return static_cast<ssize_t>(size);
	};
	io.read = [](int, void *, size_t, void *) -> ssize_t { return 0; };
	// A descriptor that there can't be: libfuse wants one, and closes it in the end.
	return fuse_session_custom_io(_session, &io, std::numeric_limits<int>::max()) == 0;
}

bool Session::make(std::vector<std::string> const &options)
{
	BULKHEAD_ASSERT(!_session);
	fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
	bool complete = fuse_opt_add_arg(&arguments, "bulkhead") == 0;
	for (std::string const &option : options)
		complete = complete && fuse_opt_add_arg(&arguments, ("-o" + option).c_str()) == 0;
	fuse_lowlevel_ops const table = Requests::table();
	if (complete) _session = fuse_session_new(&arguments, &table, sizeof table, this);
	fuse_opt_free_args(&arguments);
	return _session != nullptr;
}

} // namespace bulkhead::fuse
