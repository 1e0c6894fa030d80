#include "vfs/fuse/session.h"

#include "vfs/fuse/attributes.h"

#include <algorithm>
#include <cerrno>

namespace bulkhead::fuse {

namespace {

// Between two looks at what else the loop has to do.
constexpr unsigned REQUESTS_PER_ROUND = 64;
constexpr unsigned JOBS_PER_REQUEST = 64;

// A request's header, in front of the data of a write (FUSE_BUFFER_HEADER_SIZE of libfuse).
constexpr size_t HEADER_ROOM = 0x1000;

void interrupted(fuse_req_t, void *operation)
{
	static_cast<Operation *>(operation)->job().cancel();
}

} // namespace

Session::Session(Executor &executor, Ref<vfs::Node> root, std::string label, Limits limits)
	: _executor(executor),
	  _limits(limits),
	  _label(std::move(label)),
	  _nodes(std::move(root), limits.nodes, limits.generation),
	  _handles(limits.handles, limits.generation),
	  _poll_job(executor),
	  _large_inputs(limits.io_bytes + HEADER_ROOM),
	  _large_outputs(limits.io_bytes)
{
	_poll_root = _tell_pollers(_poll_job);
	bool const started = _poll_root.start(_poll_job).ok();
	BULKHEAD_ASSERT(started); // the arena is made for this one coroutine
}

Session::~Session()
{
	BULKHEAD_ASSERT(_pending.empty() && _handles.used() == 0);
	_free_operations.for_each([](Operation &operation) { operation.unlink(); });
	if (_session) fuse_session_destroy(_session);
	Memory(std::exchange(_input.mem, nullptr));
}

bool Session::receive()
{
	for (unsigned i = 0; i < REQUESTS_PER_ROUND; ++i) {
		(void)_take_input(_large_inputs);
		int const size = fuse_session_receive_buf(_session, &_input);
		if (size == -EINTR) continue;
		if (size == -EAGAIN) return true;
		if (size <= 0) return false;
		process(_input.size);
		_run_jobs();
		if (fuse_session_exited(_session)) return false;
	}
	return true;
}

/* False: there is no memory. */
bool Session::_take_input(Buffers &buffers)
{
	if (_input.mem && _input_owner == &buffers) return true;
	if (_input.mem) _input_owner->give_back(Memory(std::exchange(_input.mem, nullptr)));
	_input_owner = &buffers;
	_input.mem = buffers.take().release();
	return _input.mem != nullptr;
}

Mutable_bytes Session::input(size_t size)
{
	Buffers &buffers = size <= SMALL_INPUT ? _small_inputs : _large_inputs;
	if (size > buffers.size() || !_take_input(buffers)) return {};
	return {static_cast<uint8_t *>(_input.mem), size};
}

void Session::process(size_t size)
{
	_input.size = size;
	fuse_session_process_buf(_session, &_input);
}

void Session::_run_jobs()
{
	// What takes several steps mostly ends here, too, without a further look at descriptors.
	for (unsigned i = 0; i < JOBS_PER_REQUEST; ++i)
		if (!_executor.run_one()) return;
}

void Session::handle(Bytes request)
{
	Mutable_bytes const to = input(request.size());
	if (to.empty()) return;
	copy_bytes(to, request);
	process(to.size());
	_run_jobs();
}

Operation *Session::_begin(fuse_req_t request, Reserve reserve)
{
	if (_free_operations.empty()) {
		if (reserve == Reserve::KEEP && _pending_count >= _limits.operations) {
			fuse_reply_err(request, ENOMEM);
			return nullptr;
		}
		_all_operations.push_back(std::make_unique<Operation>(_executor, *this));
		_free_operations.push_back(*_all_operations.back());
	}
	Operation &operation = *_free_operations.front();
	operation.request = request;
	return &operation;
}

void Session::_end(Operation &operation)
{
	if (operation.output)
		std::exchange(operation.output_owner, nullptr)->give_back(std::move(operation.output));
	operation.output.reset();
}

void Session::_fail(Operation &operation, int error_number)
{
	if (operation.request) fuse_reply_err(std::exchange(operation.request, nullptr), error_number);
}

void Session::_wait(Operation &operation, Task<void> task, Handle *handle)
{
	if (task.ready()) {
		// The first frame found no room.
		_fail(operation, errno_of_request(task.take().ok() ? Error::IO : Error::OUT_OF_FRAMES));
		return _end(operation);
	}
	operation.unlink();
	_pending.push_back(operation);
	++_pending_count;
	operation.input.reset(std::exchange(_input.mem, nullptr));
	operation.input_owner = _input_owner;
	operation.handle = handle;
	if (handle) handle->use();
	if (operation.request) {
		fuse_req_interrupt_func(operation.request, interrupted, &operation);
		if (_stopping) operation.job().cancel();
	}
	if (!operation.start(_run(operation.job(), operation, std::move(task))).ok()) {
		_fail(operation, ENOMEM);
		operation.completed();
	}
}

/* Runs after those who have made a change, and so once for several changes at a time. */
Root Session::_tell_pollers(Job &job)
{
	for (;;) {
		while (Handle *const handle = _changes.handles.pop_front()) handle->tell();
		Attempt<void> const waited = co_await _changes.any.wait(job);
		if (!waited.ok()) co_return;
	}
}

Root Session::_run(Job &, Operation &operation, Task<void> task)
{
	Attempt<void> const result = co_await task;
	if (!result.ok()) _fail(operation, errno_of_request(result.error()));
	// Each step answers for itself; what is left without an answer would wait forever.
	_fail(operation, EIO);
}

void Session::ended(Operation &operation)
{
	operation.unlink();
	--_pending_count;
	if (Handle *const handle = std::exchange(operation.handle, nullptr)) handle->unuse();
	if (operation.input) operation.input_owner->give_back(std::move(operation.input));
	_end(operation);
	operation.job().reset();
	_free_operations.insert_after(nullptr, operation);
	if (_pending.empty()) _none_pending.raise_all();
}

Mutable_bytes Session::_output(Operation &operation, size_t size)
{
	Buffers &buffers = size <= SMALL_OUTPUT ? _small_outputs : _large_outputs;
	operation.output = buffers.take();
	operation.output_owner = &buffers;
	if (!operation.output) return {};
	return {static_cast<uint8_t *>(operation.output.get()), std::min(size, buffers.size())};
}

Mutable_bytes Session::_output_or_end(Operation &operation, size_t size)
{
	Mutable_bytes const buffer = _output(operation, size);
	if (size && buffer.empty()) {
		_fail(operation, ENOMEM);
		_end(operation);
	}
	return buffer;
}

Credentials Session::_caller(fuse_req_t request) const
{
	fuse_ctx const *const context = fuse_req_ctx(request);
	return {.label = _label,
		.uid = context->uid,
		.gid = context->gid,
		.pid = static_cast<uint32_t>(context->pid)};
}

Handle *Session::_handle(fuse_file_info const *info)
{
	std::unique_ptr<Handle> *const handle = info ? _handles.find(info->fh) : nullptr;
	return handle ? handle->get() : nullptr;
}

void Session::cancel_all()
{
	_stopping = true;
	_pending.for_each([](Operation &operation) { operation.job().cancel(); });
}

void Session::close_all()
{
	std::vector<uint64_t> open;
	_handles.for_each([&](uint64_t id, std::unique_ptr<Handle> &) { open.push_back(id); });
	for (uint64_t const id : open) {
		Operation &operation = *_begin(nullptr, Reserve::USE);
		_wait(operation, _close(operation.job(), operation, _handles.take(id)));
	}
}

Task<void> Session::settle(Job &job, uint64_t until_us)
{
	while (!_pending.empty()) CO_TRY(co_await _none_pending.wait(job, until_us));
	co_return Ok{};
}

void Session::drop_all()
{
	// The oldest first: who closes a file comes after those who use it.
	while (Operation *const operation = _pending.front()) {
		operation->abandon();
		_fail(*operation, ENODEV);
		ended(*operation);
	}
	std::vector<uint64_t> open;
	_handles.for_each([&](uint64_t id, std::unique_ptr<Handle> &) { open.push_back(id); });
	for (uint64_t const id : open) _handles.take(id);
}

} // namespace bulkhead::fuse
